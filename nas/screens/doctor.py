"""Screen of nas doctor."""

from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from nas.doctor.findings import Finding

SIGNS = {
    "fine": Text("ok", style="green"),
    "note": Text("!", style="yellow"),
    "hinders": Text("x", style="bold red"),
}


def doctor_screen(findings: Sequence[Finding]) -> RenderableType:
    """The findings by topic, each with its advice; then what follows from them."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    shown = ""
    for finding in sorted(findings, key=lambda finding: _order(findings, finding)):
        topic = finding.topic if finding.topic != shown else ""
        shown = finding.topic
        table.add_row(topic, SIGNS[finding.level], Text(finding.text))
        if finding.advice:
            table.add_row("", "", Text(f"→ {finding.advice}", style="cyan"))
    return Group(table, Text(), Text(verdict(findings), style="bold"))


def _order(findings: Sequence[Finding], finding: Finding) -> int:
    """Topics in the order of their first findings, findings of a topic in their own."""
    return next(i for i, other in enumerate(findings) if other.topic == finding.topic)


def verdict(findings: Sequence[Finding]) -> str:
    """In one line: whether searches run, and whether their timings can be trusted."""
    hindering = [finding for finding in findings if finding.level == "hinders"]
    timing = max((_rank(f) for f in findings if f.topic == "timing"), default=0)
    trust = ("timings can be trusted here", "timings are worth a second look", "do not trust timings here")[
        timing
    ]
    others = len([finding for finding in hindering if finding.topic != "timing"])
    runs = (
        "searches run here" if not others else f"{others} thing{'s' * (others > 1)} to mend before a search"
    )
    return f"{runs}; {trust}"


def _rank(finding: Finding) -> int:
    return ("fine", "note", "hinders").index(finding.level)


def doctor_figures(findings: Sequence[Finding]) -> dict[str, Any]:
    """The same as JSON values."""
    return {
        "hinders": sum(finding.level == "hinders" for finding in findings),
        "notes": sum(finding.level == "note" for finding in findings),
        "verdict": verdict(findings),
        "findings": [vars(finding) for finding in findings],
    }

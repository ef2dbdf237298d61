"""The screen of nas doctor."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from nas.doctor.findings import Examination, Finding
from search_spaces.settings.sentences import one_line

SIGNS = {
    "fine": Text("ok", style="green"),
    "note": Text("!", style="yellow"),
    "hinders": Text("x", style="bold red"),
}


def doctor_screen(examination: Examination) -> RenderableType:
    """The findings by topic, each with its advice; then what follows from them."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    findings = examination.findings
    shown = ""
    for finding in sorted(findings, key=lambda finding: _order(findings, finding)):
        topic = finding.topic if finding.topic != shown else ""
        shown = finding.topic
        table.add_row(topic, SIGNS[finding.level], Text(one_line(finding.text)))
        if finding.advice:
            table.add_row("", "", Text(f"→ {finding.advice}", style="cyan"))
    return Group(table, Text(), Text(examination.verdict, style="bold"))


def _order(findings: Sequence[Finding], finding: Finding) -> int:
    """Topics in the order of their first findings, findings of a topic in their own."""
    return next(i for i, other in enumerate(findings) if other.topic == finding.topic)

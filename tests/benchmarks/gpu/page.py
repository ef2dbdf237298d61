"""The page of all measurements of a GPU, written anew after each step."""

import os
from collections.abc import Sequence
from pathlib import Path

from benchmarks.gpu.figures import Result, Row, shown
from benchmarks.gpu.steps import Step

PAGE = "page.md"
NAMED = (
    "device",
    "memory",
    "capability",
    "driver",
    "torch",
    "cuda",
    "cudnn",
    "cpu",
    "cores",
    "commit",
    "began",
)


def write_page(results: Sequence[Result], steps: Sequence[Step], out: Path) -> None:
    """Writes the page in place of an earlier one."""
    unfinished = out / f"{PAGE}.unfinished"
    unfinished.write_text(page(results, steps))
    os.replace(unfinished, out / PAGE)


def page(results: Sequence[Result], steps: Sequence[Step]) -> str:
    """Markdown: the machine, the figures for a README, a table for each step, and what was not run."""
    by_name = {result.name: result for result in results}
    parts = ["# Measured on a GPU\n"]
    if any(result.rehearsed for result in results):
        parts.append("A rehearsal on a CPU at tiny sizes: **the figures mean nothing.**\n")
    if results:
        facts = results[-1].facts
        parts.append(_table(("", ""), [(name, str(facts[name])) for name in NAMED if facts.get(name)]))
    headlines = [row.headline for result in results for row in result.rows if row.headline]
    if headlines:
        parts.append("## In short\n")
        parts.append("\n".join(f"- {line}" for line in headlines) + "\n")
    for step in steps:
        result = by_name.get(step.name)
        if result is not None and (result.rows or result.state == "done"):
            parts.append(_section(result))
    missing = [(step.title, _why_not(by_name.get(step.name))) for step in steps]
    missing = [(title, why) for title, why in missing if why]
    if missing:
        parts.append("## Not run, or not to the end\n")
        parts.append(_table(("", "why"), missing))
    return "\n".join(parts)


def _section(result: Result) -> str:
    until = "" if result.state == "done" else f", {result.state}"
    heading = (
        f"## {result.title[0].upper()}{result.title[1:]}\n\n`{result.name}`, {result.seconds:.0f} s{until}\n"
    )
    return f"{heading}\n{_rows(result.rows)}"


def _rows(rows: Sequence[Row]) -> str:
    """One table for each set of columns, in the order of the rows."""
    tables: list[tuple[tuple[str, ...], list[tuple[str, ...]]]] = []
    for row in rows:
        columns = ("", *row.figures)
        if not tables or tables[-1][0] != columns:
            tables.append((columns, []))
        tables[-1][1].append((row.label, *map(shown, row.figures.values())))
    return "\n".join(_table(columns, lines) for columns, lines in tables)


def _table(columns: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    texts = [columns, ["---"] * len(columns), *lines]
    return "\n".join(f"| {' | '.join(text)} |" for text in texts) + "\n"


def _why_not(result: Result | None) -> str:
    if result is None:
        return "not begun"
    if result.state == "done":
        return ""
    return f"{result.state}: {' / '.join(result.said.splitlines()[-3:])}".replace("|", "\\|")

"""Findings of nas doctor, one fact each, and the verdict on all of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from analysis.numbers import counted

Level = Literal["fine", "note", "hinders"]
LEVELS: tuple[Level, ...] = ("fine", "note", "hinders")  # the worst last
TRUST: dict[Level, str] = {
    "fine": "timings can be trusted here",
    "note": "timings are worth a second look",
    "hinders": "do not trust timings here",
}


@dataclass(frozen=True)
class Finding:
    """A fact; how it bears on searches; and what to do, where something can be done."""

    topic: str
    level: Level
    text: str
    advice: str = ""


@dataclass(frozen=True, kw_only=True)
class Examination:
    """All findings of a machine, and what follows from them."""

    hinders: int  # findings that hinder searches or timing
    notes: int
    verdict: str
    findings: tuple[Finding, ...]


def examination(findings: Sequence[Finding]) -> Examination:
    """The findings with their verdict."""
    return Examination(
        hinders=sum(finding.level == "hinders" for finding in findings),
        notes=sum(finding.level == "note" for finding in findings),
        verdict=verdict(findings),
        findings=tuple(findings),
    )


def verdict(findings: Sequence[Finding]) -> str:
    """One line: whether searches run, and whether their timings can be trusted."""
    timing = {finding.level for finding in findings if finding.topic == "timing"}
    worst = next((level for level in reversed(LEVELS) if level in timing), LEVELS[0])
    to_mend = sum(finding.level == "hinders" and finding.topic != "timing" for finding in findings)
    runs = f"{counted(to_mend, 'thing')} to mend before a search" if to_mend else "searches run here"
    return f"{runs}; {TRUST[worst]}"

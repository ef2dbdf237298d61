"""The screen of `nas verify`."""

from shlex import quote

from rich.console import Group, RenderableType
from rich.text import Text

from analysis.numbers import counted
from nas.results.verify import Verdict
from nas.screens.terminal import copyable
from search_spaces.settings.sentences import one_line
from trials.log.continuing import continue_command
from trials.log.invariants import INVARIANTS, faults_by_invariant

SHOWN = 5  # faults of one kind


def verdict_screen(verdict: Verdict) -> RenderableType:
    """Faults by invariant, notes, and what to type next."""
    state = "whole" if verdict.is_whole else counted(len(verdict.faults), "fault")
    lines = [
        Text(f"{one_line(verdict.run)}   {state}", style="bold"),
        Text(counted(verdict.trials, "trial") + _repeated(verdict)),
    ]
    for title, faults in (("mended", verdict.mended), ("", verdict.faults)):
        for name, found in faults_by_invariant(faults).items():
            lines.append(Text(f"{title or 'broken'}  {name}: {INVARIANTS[name]}"))
            lines += [Text(f"    {fault.says}") for fault in found[:SHOWN]]
            if len(found) > SHOWN:
                lines.append(Text(f"    and {len(found) - SHOWN} more"))
    lines += [Text(f"note: {one_line(note)}") for note in verdict.notes]
    return Group(*lines, *map(copyable, _next(verdict)))


def _repeated(verdict: Verdict) -> str:
    """The trials that had not ended: nobody works on a run that is verified, so they begin anew."""
    return f", {verdict.in_flight} will run again" if verdict.in_flight else ""


def _next(verdict: Verdict) -> list[str]:
    run = verdict.run
    if any(fault.is_mendable for fault in verdict.faults):
        return [f"next:  nas verify {quote(run)} --repair     (moves what is damaged, deletes nothing)"]
    if verdict.mended or verdict.in_flight:
        return [f"next:  {continue_command(run)}     (continues)"]
    return []

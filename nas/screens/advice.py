"""The screen of `nas next`: the state, steps with their reasons, notes."""

from rich.console import Group, RenderableType
from rich.text import Text

from nas.advising.advice import Advice
from nas.screens.terminal import copyable
from search_spaces.settings.sentences import one_line


def advice_screen(found: Advice) -> RenderableType:
    """The state, then each step, and each note: its reason, and below it the command."""
    lines = [Text(one_line(found.path), style="bold"), Text(found.state)]
    for i, step in enumerate(found.steps):
        lines.append(Text(f"{'now' if i == 0 else 'then'}: {one_line(step.reason)}"))
        lines.append(copyable(f"    {step.noted}"))
    for note in found.notes:
        lines.append(Text(f"note: {one_line(note.reason)}"))
        lines.append(copyable(f"    {note.noted}"))
    if found.fill_in:
        *first, last = found.fill_in
        words = f"{', '.join(first)} and {last}" if first else last
        lines.append(Text(f"put your own in the place of {words}"))
    return Group(*lines)

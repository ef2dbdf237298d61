"""The screen of `nas schema`: commands that print JSON, with their versions."""

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.table import Table

from nas.screens.terminal import copyable


def schemas_screen(versions: Iterable[tuple[str, int]]) -> RenderableType:
    """A line for each command, and what to type next."""
    table = Table(box=None, padding=(0, 1), header_style="bold")
    table.add_column("command", no_wrap=True)
    table.add_column("version", justify="right", no_wrap=True)
    for command, version in versions:
        table.add_row(command, str(version))
    return Group(table, copyable("next:  nas schema status"))

"""The terminal: names made by others are shown as they are, and none of them is a command to it."""

import sys
from collections.abc import Iterable
from io import StringIO

from rich import control
from rich.console import Console, RenderableType
from rich.text import Text

from search_spaces.settings.sentences import one_line

# Control characters, except those that lay out text; and marks that turn the direction of what follows.
COMMANDS = (
    *range(0x09), *range(0x0B, 0x20), *range(0x7F, 0xA0),
    0x61C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A),
)  # fmt: skip
NO_TERMINAL = 10_000  # columns of what is no terminal: more than any line has
SURROGATES = range(0xD800, 0xE000)  # bytes of a file's name that are no UTF-8
ESCAPES = {code: chr(code).encode("unicode_escape").decode() for code in COMMANDS} | {
    code: f"\\x{code & 0xFF:02x}" for code in SURROGATES
}


def printable(text: str) -> str:
    """The text with control characters, and bytes that are no UTF-8, written as escapes."""
    return text.translate(ESCAPES)


def terminal(*, stderr: bool = False, soft_wrap: bool = False) -> Console:
    """The console of a command: brackets and colons of names are no markup there, and no icons.

    Where it is no terminal (a pipe, a file) lines are neither cut nor broken, whatever COLUMNS says.
    `soft_wrap` leaves it to the terminal to break lines, so that paths can be copied.
    """
    _escape_control_codes()
    console = Console(stderr=stderr, markup=False, emoji=False, highlight=False, soft_wrap=soft_wrap)
    if not console.is_terminal:
        console.width = NO_TERMINAL
    return console


def plain_text(screen: RenderableType, *, width: int) -> str:
    """A screen as text without colours, for what is no terminal, in lines of so many characters."""
    _escape_control_codes()
    text = StringIO()
    Console(file=text, markup=False, emoji=False, highlight=False, width=width).print(screen)
    return text.getvalue().rstrip()


def _escape_control_codes() -> None:
    # All text that rich shows passes through this table, which by itself leaves escape sequences in.
    for table in control.strip_control_codes.__defaults__ or ():
        table.update(ESCAPES)


def copyable(line: str) -> Text:
    """A line of paths or commands, which a narrow terminal breaks itself: neither split nor cut off.

    The console has to print it with `crop=False`.
    """
    return Text(line, no_wrap=True, overflow="ignore")


def print_notes(console: Console, about: str, notes: Iterable[str]) -> None:
    """A line for each note on something that a command was given: its data, its recipe."""
    for note in notes:
        console.print(one_line(f"{about}: {note}"), soft_wrap=True)


def say_start(console: Console, what: str) -> None:
    """The first line of a command that takes seconds to load what it needs: what it is about, and where."""
    console.print(f"reading    {one_line(what)}", soft_wrap=True)


def say(message: str) -> None:
    """Prints a plain message on standard error."""
    print(printable(message), file=sys.stderr)

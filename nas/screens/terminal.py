"""The terminal: names made by others are shown as they are, and none of them is a command to it."""

import re
import sys

from rich import control
from rich.console import Console

# Control characters, except those that lay out text; and marks that turn the direction of what follows.
COMMANDS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
SURROGATES = re.compile("[\ud800-\udfff]")  # bytes of a file's name that are no UTF-8


def printable(text: str) -> str:
    """The text with control characters, and bytes that are no UTF-8, written as escapes."""
    shown = COMMANDS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
    return SURROGATES.sub(lambda found: f"\\x{ord(found[0]) & 0xFF:02x}", shown)


def terminal(*, stderr: bool = False, soft_wrap: bool = False) -> Console:
    """The console of a command: brackets and colons of names are no markup there, and no icons.

    `soft_wrap` leaves it to the terminal to break lines, so that paths can be copied.
    """
    # All text that rich shows passes through this table, which by itself leaves escape sequences in.
    control.strip_control_codes.__defaults__[0].update(_TABLE)  # type: ignore[index]
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False, soft_wrap=soft_wrap)


_TABLE = {
    code: printable(chr(code))
    for code in range(0x10000)
    if COMMANDS.match(chr(code)) or SURROGATES.match(chr(code))
}


def say(message: str) -> None:
    """Prints a plain message on standard error."""
    print(printable(message), file=sys.stderr)

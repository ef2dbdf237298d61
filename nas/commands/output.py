"""The output of a command: a screen, or with --json one object."""

import json
from collections.abc import Callable
from dataclasses import is_dataclass

from rich.console import RenderableType

from nas.screens.terminal import terminal
from search_spaces.settings.kinds import said_fields


def show(
    as_json: bool,
    figures: Callable[[], object],
    screen: Callable[[], RenderableType],
    *,
    soft_wrap: bool = False,
) -> None:
    """Prints the figures as JSON on standard output, or else the screen; only what is printed is computed.

    `soft_wrap` leaves it to the terminal to break lines, so that paths can be copied.
    """
    if as_json:
        print(json_text(figures()))
    else:
        terminal().print(screen(), soft_wrap=soft_wrap, crop=False)


def json_text(figures: object) -> str:
    """Figures as JSON: a dataclass is an object whose keys are the fields that it says, in their order."""
    return json.dumps(figures, default=_plain)


def _plain(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return said_fields(value)
    return str(value)

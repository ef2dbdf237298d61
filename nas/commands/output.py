"""The output of a command: a screen, or with --json one object."""

import json
import math
from collections.abc import Callable, Mapping
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
    """Figures as JSON: a dataclass is an object whose keys are the fields that it says, in their order.

    A number that is none, of which JSON knows nothing, is null.
    """
    return json.dumps(_plain(figures))


def _plain(value: object) -> object:
    """A value as JSON has it: objects, arrays, numbers, texts; anything else as text."""
    if is_dataclass(value) and not isinstance(value, type):
        return {name: _plain(each) for name, each in said_fields(value).items()}
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | None) else str(value)

"""What a command prints in the end: a screen, or with --json one object."""

import json
from collections.abc import Callable
from typing import Any

from rich.console import Console


def show(as_json: bool, figures: Callable[[], Any], screen: Callable[[], Any]) -> None:
    """Prints the figures as JSON on standard output, or else the screen; only what is printed is computed."""
    if as_json:
        print(json.dumps(figures(), default=str))
    else:
        Console(highlight=False).print(screen())

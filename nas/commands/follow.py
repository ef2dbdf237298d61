"""The state of a run on the screen, printed again every two seconds."""

import time
from contextlib import nullcontext, suppress
from pathlib import Path

from rich.console import Console
from rich.live import Live

from nas.commands.output import json_text
from nas.results.status import run_status
from nas.screens.status import status_screen

SECONDS_BETWEEN_LOOKS = 2.0


def follow(run: Path, console: Console, *, as_json: bool = False) -> None:
    """Shows the state again and again, until nobody works on the run any more or Ctrl-C; as JSON a line each.

    Raises:
        ConfigError: as `run_status`.
    """
    figures = run_status(run)
    live = Live(status_screen(figures, watched=True), console=console, auto_refresh=False)
    with suppress(KeyboardInterrupt), nullcontext() if as_json else live:
        while True:
            if as_json:
                print(json_text(figures), flush=True)
            else:
                live.update(status_screen(figures, watched=True), refresh=True)
            if figures.state != "running":
                return
            time.sleep(SECONDS_BETWEEN_LOOKS)
            figures = run_status(run)

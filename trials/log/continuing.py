"""The command that continues a run, as messages and screens tell it."""

import shlex
from pathlib import Path

from trials.log.buckets import place_of


def continue_command(run: Path | str) -> str:
    """The command that continues this run, quoted for a shell."""
    place = place_of(run)
    return f"nas search {shlex.quote(f'{place}/search.yaml')} --run {shlex.quote(place)}"

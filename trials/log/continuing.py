"""The command that continues a run, as messages and screens tell it."""

import shlex
from pathlib import Path


def continue_command(run: Path | str) -> str:
    """The command that continues this run, quoted for a shell."""
    return f"nas search {shlex.quote(f'{run}/search.yaml')} --run {shlex.quote(str(run))}"

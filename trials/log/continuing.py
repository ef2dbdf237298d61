"""The command that continues a run, as messages and screens tell it."""

import shlex
from pathlib import Path


def continue_command(run: Path | str) -> str:
    """What to type in a shell to continue this run."""
    return f"nas search {shlex.quote(f'{run}/search.yaml')} --run {shlex.quote(str(run))}"

"""The command nas next."""

from pathlib import Path
from typing import Annotated

import typer

from nas.commands.options import Json
from nas.commands.output import show


def next_(
    path: Annotated[
        Path, typer.Argument(help="A run, a training, a comparison, images, or a folder of them.")
    ] = Path("runs"),
    as_json: Json = False,
) -> None:
    """Say what to do now with a run, a training or images, and why; with the exact command."""
    from nas.advising.next_steps import next_steps
    from nas.screens.advice import advice_screen
    from trials.log.run_places import run_folder

    found = next_steps(run_folder(path))
    show(as_json, lambda: found, lambda: advice_screen(found))

"""The command nas pull."""

from pathlib import Path
from typing import Annotated

import typer

from nas.commands.options import Json, Trust
from nas.commands.output import json_text
from nas.screens.terminal import terminal


def pull(
    repository: Annotated[str, typer.Argument(help="A repository of the Hugging Face Hub: USER/NAME.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="A new folder (default: NAME, here).")
    ] = None,
    revision: Annotated[
        str | None, typer.Option(help="A branch, a tag or a commit (default: the newest commit).")
    ] = None,
    trust: Trust = None,
    as_json: Json = False,
) -> None:
    """Take a network that nas push has handed on from the Hugging Face Hub."""
    from nas.hub.names import check_repository
    from nas.hub.pull import pull as pull_network
    from nas.screens.hub import pulled_screen

    console = terminal(stderr=True, soft_wrap=True)
    folder = output or Path(check_repository(repository).partition("/")[2])
    pulled = pull_network(repository, folder, revision=revision, on_progress=lambda what: console.print(what))
    if as_json:
        print(json_text(pulled))
    else:
        terminal(soft_wrap=True).print(pulled_screen(pulled))

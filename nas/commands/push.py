"""The command nas push."""

from typing import Annotated

import typer

from nas.commands.options import FromRun, Json, License, LicenseLink, Onnx, Trust
from nas.commands.output import json_text
from nas.screens.terminal import terminal


def push(
    training: Annotated[str, typer.Argument(help="A training that has ended: a folder of nas train.")],
    repository: Annotated[str, typer.Argument(help="A repository of the Hugging Face Hub: USER/NAME.")],
    license_: License = None,
    license_link: LicenseLink = None,
    public: Annotated[
        bool, typer.Option("--public", help="Everybody may see it (default: a private repository).")
    ] = False,
    from_run: FromRun = None,
    onnx: Onnx = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the card; upload nothing.")] = False,
    trust: Trust = None,
    as_json: Json = False,
) -> None:
    """Hand a trained network on, with its card, to the Hugging Face Hub."""
    from nas.commands.launch_hub import preview, push_on_console
    from nas.hub.card import Handing
    from nas.hub.names import check_repository
    from nas.screens.hub import pushed_screen

    handing = Handing(
        place=check_repository(repository), license_=license_, license_link=license_link, onnx=onnx
    )
    if dry_run:
        preview(training, handing, run=from_run, as_json=as_json)
        return
    console = terminal(stderr=True, soft_wrap=True)
    pushed = push_on_console(training, handing, public=public, run=from_run, console=console)
    if as_json:
        print(json_text(pushed))
    else:
        terminal(soft_wrap=True).print(pushed_screen(pushed))

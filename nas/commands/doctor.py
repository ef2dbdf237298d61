"""The command nas doctor."""

from typing import Annotated

import typer

from nas.commands.exit_codes import EXIT_DONE, EXIT_FAILED
from nas.commands.options import Json
from nas.commands.output import show
from nas.screens.terminal import terminal


def doctor(
    data: Annotated[
        str | None, typer.Argument(help="Images to try to read: a folder, Parquet files, a URL.")
    ] = None,
    search: Annotated[
        str | None,
        typer.Option(help="A search file, or a shipped one's name: do its networks suit the images?"),
    ] = None,
    gpu: Annotated[
        bool, typer.Option("--gpu", help="Look at the GPUs alone, and try each: at most two minutes.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Look at devices, versions, room and clocks; exit code 1 if something hinders searches or timing."""
    if gpu and data is not None:
        raise typer.BadParameter("--gpu looks at the GPUs alone: leave out DATA, or look at it without --gpu")
    if search is not None and data is None:
        raise typer.BadParameter("--search goes with DATA: name the images, too")
    from nas.doctor.checks import examine, examine_gpus
    from nas.doctor.findings import examination
    from nas.screens.doctor import doctor_screen

    with terminal(stderr=True).status("trying the GPUs" if gpu else "looking"):
        found = examination(list(examine_gpus() if gpu else examine(data, search=search)))
    show(as_json, lambda: found, lambda: doctor_screen(found))
    raise typer.Exit(EXIT_FAILED if found.hinders else EXIT_DONE)

"""The command nas doctor."""

from typing import Annotated

import typer
from rich.console import Console

from nas.commands.options import Json
from nas.commands.output import show


def doctor(
    data: Annotated[
        str | None, typer.Argument(help="Images to try to read: a folder, Parquet files, a URL.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Look at devices, versions, room and clocks; exit code 1 if something hinders searches or timing."""
    from nas.doctor.checks import examine
    from nas.screens.doctor import doctor_figures, doctor_screen

    with Console(stderr=True).status("looking"):
        findings = list(examine(data))
    figures = doctor_figures(findings)
    show(as_json, lambda: figures, lambda: doctor_screen(findings))
    raise typer.Exit(1 if figures["hinders"] else 0)

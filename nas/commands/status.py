"""The command nas status."""

from pathlib import Path
from typing import Annotated

import typer

from nas.commands.options import Json
from nas.commands.output import show
from nas.screens.terminal import terminal


def status(
    run: Annotated[Path, typer.Argument(help="A run directory, or a folder of runs.")] = Path("runs"),
    watch: Annotated[bool, typer.Option("--watch", help="Look again every two seconds.")] = False,
    as_json: Json = False,
) -> None:
    """Show how a search is going: trials, the best so far, time left; or list the runs of a folder."""
    from nas.commands.follow import follow
    from nas.results.run_list import folder_status, holds_runs
    from nas.results.status import run_status
    from nas.screens.run_list import folder_screen
    from nas.screens.status import status_screen
    from trials.log.run_places import run_folder

    run = run_folder(run)
    if holds_runs(run):
        if watch:
            raise typer.BadParameter(f"--watch follows one run; name one of those in {run}")
        listed = folder_status(run)
        show(as_json, lambda: listed, lambda: folder_screen(listed))
        return
    if watch:
        follow(run, terminal(), as_json=as_json)
        return
    figures = run_status(run)
    show(as_json, lambda: figures, lambda: status_screen(figures))

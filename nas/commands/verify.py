"""The command nas verify."""

from typing import Annotated

import typer

from nas.commands.exit_codes import EXIT_DONE, EXIT_FAILED
from nas.commands.options import Json, Run
from nas.commands.output import show


def verify(
    run: Run,
    repair: Annotated[
        bool, typer.Option("--repair", help="Mend what can be mended; files are moved, never deleted.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check that a run's log is whole; exit code 1 if it is not."""
    from nas.results.verify import verify_run
    from nas.screens.verify import verdict_screen
    from trials.log.run_places import run_folder

    verdict = verify_run(run_folder(run), repair=repair)
    show(as_json, lambda: verdict, lambda: verdict_screen(verdict), soft_wrap=True)
    raise typer.Exit(EXIT_DONE if verdict.is_whole else EXIT_FAILED)

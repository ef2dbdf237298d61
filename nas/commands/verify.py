"""The command nas verify."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from nas.commands.options import Json


def verify(
    run: Annotated[Path, typer.Argument(help="A run directory.")],
    repair: Annotated[
        bool, typer.Option("--repair", help="Mend what can be mended; files are moved, never deleted.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check that a run's log is whole; exit code 1 if it is not."""
    from nas.results.verify import verdict_figures, verdict_screen, verify_run

    verdict = verify_run(run, repair=repair)
    if as_json:
        print(json.dumps(verdict_figures(verdict)))
    else:
        Console(highlight=False, soft_wrap=True).print(verdict_screen(verdict))
    raise typer.Exit(1 if verdict.faults else 0)

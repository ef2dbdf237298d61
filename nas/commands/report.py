"""The command nas report."""

from pathlib import Path
from typing import Annotated

import typer

from nas.commands.options import Json, Run
from nas.commands.output import show


def report(
    run: Run,
    reward: Annotated[
        list[str] | None, typer.Option(help="quantity=exponent, another trade-off (may be repeated).")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="By step times that nas measure --run took on this device.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The file (default: report.html in the run).")
    ] = None,
    open_: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
    as_json: Json = False,
) -> None:
    """Write a run's report: winner, front, progress, what was learned, noise, cost; one HTML file."""
    from rich.text import Text

    from nas.commands.written import WrittenReport
    from nas.report.facts import changed_terms
    from nas.report.page import write_report
    from nas.search.recorded_config import recorded_config
    from trials.log.run_places import run_folder

    run = run_folder(run)
    terms = changed_terms(reward, recorded=recorded_config(run).reward) if reward else None
    path = write_report(run, output=output, terms=terms, device=device)
    show(
        as_json,
        lambda: WrittenReport(run=str(run), report=str(path)),
        lambda: Text(str(path)),
        soft_wrap=True,
    )
    if open_:
        typer.launch(path.resolve().as_uri())

"""The command nas report."""

from pathlib import Path
from typing import Annotated

import typer

from nas.commands.options import Json
from nas.commands.output import show


def report(
    runs: Annotated[list[Path], typer.Argument(help="A run directory; several are compared on one page.")],
    reward: Annotated[
        list[str] | None, typer.Option(help="quantity=exponent, another trade-off (may be repeated).")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="By step times that nas measure --run took on this device.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The file (default: in the first run).")
    ] = None,
    open_: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
    as_json: Json = False,
) -> None:
    """Write a run's report, or several side by side: winner, front, progress, noise, cost; one HTML file."""
    if len(runs) == 1:
        path = _report_one(runs[0], reward=reward, device=device, output=output, as_json=as_json)
    else:
        path = _report_several(runs, reward=reward, device=device, output=output, as_json=as_json)
    if open_:
        typer.launch(path.resolve().as_uri())


def _report_one(
    run: Path, *, reward: list[str] | None, device: str | None, output: Path | None, as_json: bool
) -> Path:
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
    return path


def _report_several(
    runs: list[Path], *, reward: list[str] | None, device: str | None, output: Path | None, as_json: bool
) -> Path:
    from nas.report.facts import changed_terms
    from nas.report.side_by_side.page import write_side_by_side
    from nas.screens.side_by_side import side_by_side_screen
    from nas.search.recorded_config import recorded_config
    from trials.log.run_places import place_of, run_folder

    folders = [run_folder(run) for run in runs]
    terms = changed_terms(reward, recorded=recorded_config(folders[0]).reward) if reward else None
    figures = write_side_by_side(
        folders, names=[place_of(folder) for folder in folders], output=output, terms=terms, device=device
    )
    show(as_json, lambda: figures, lambda: side_by_side_screen(figures), soft_wrap=True)
    return Path(figures.report)

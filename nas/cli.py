"""The command line: each command reads its arguments, calls the library and prints."""

import json
import sys
from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console

from nas.commands.audit import audit
from nas.commands.doctor import doctor
from nas.commands.export import export, import_
from nas.commands.options import Json
from nas.commands.report import report
from nas.commands.scale import scale
from nas.commands.training import evaluate, predict, train
from nas.commands.verify import verify

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Training-aware neural architecture search.",
)


class Precision(StrEnum):
    """In which a network computes."""

    FP32 = "fp32"
    BF16 = "bf16"


EXIT_FAILED, EXIT_WRONG_INPUT, EXIT_NOT_WRITTEN, EXIT_LOCKED = 1, 2, 74, 75


@app.callback()
def _commands() -> None:
    pass


@app.command()
def search(
    file: Annotated[str, typer.Argument(help="A search file, or a shipped one's name.")],
    run: Annotated[Path | None, typer.Option(help="The run directory; one that exists is continued.")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="How many trials at once (default: all).")
    ] = None,
    per_device: Annotated[
        int, typer.Option(min=1, max=64, help="Workers that share a device; timing still has it alone.")
    ] = 1,
    ray_address: Annotated[str | None, typer.Option(help="A Ray cluster to join, e.g. auto.")] = None,
    in_process: Annotated[
        bool, typer.Option("--in-process", help="One trial at a time, without Ray.")
    ] = False,
    log: Annotated[
        list[str] | None, typer.Option(help="tensorboard, mlflow or wandb, too (may be repeated).")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="key.path=value; replaces one value.")
    ] = None,
    init: Annotated[
        list[str] | None, typer.Option(help="An architecture to begin with: a file (may be repeated).")
    ] = None,
    grace: Annotated[
        float, typer.Option(min=0, max=86_400, help="Seconds that trials in flight have when it is stopped.")
    ] = 10.0,
    disk_wait: Annotated[
        float, typer.Option(min=0, max=604_800, help="Seconds that a full disk is waited for.")
    ] = 600.0,
    estimate: Annotated[
        bool,
        typer.Option("--estimate", help="Time a few steps, say what it would cost, begin nothing."),
    ] = False,
    assume: Annotated[
        list[str] | None, typer.Option(help="With --estimate: devices=64, images=N, classes=K (repeated).")
    ] = None,
    as_json: Json = False,
) -> None:
    """Search for the best architecture; started again on the same run it continues."""
    console = Console(stderr=as_json)
    if estimate:
        from nas.estimating.search_estimate import estimate_on_console
        from nas.screens.estimate import estimate_screen

        figures = estimate_on_console(
            file,
            overrides=_search_overrides(set_, init),
            workers=workers,
            in_process=in_process,
            per_device=per_device,
            assume=assume or [],
            console=console,
        )
        _print(as_json, lambda: figures, lambda: estimate_screen(figures))
        return
    if assume:
        raise typer.BadParameter("--assume goes with --estimate")
    from nas.commands.launch import launch_search
    from nas.results.summary import summary_figures
    from nas.screens.summary import summary_screen

    folder = run or Path("runs") / f"{Path(file).stem}-{datetime.now():%Y%m%d-%H%M%S}"
    result = launch_search(
        file,
        folder,
        overrides=_search_overrides(set_, init),
        workers=workers,
        ray_address=ray_address,
        in_process=in_process,
        per_device=per_device,
        log=log or (),
        grace=grace,
        disk_wait=disk_wait,
        console=console,
    )
    _print(as_json, lambda: summary_figures(result), lambda: summary_screen(result))


@app.command()
def describe(
    source: Annotated[str, typer.Argument(help="An architecture or space: a file, or a shipped name.")],
    classes: Annotated[
        int | None, typer.Option(min=2, help="Classes that parameters are counted with.")
    ] = None,
    resolution: Annotated[int | None, typer.Option(min=1, max=4096, help="Pixels, for MACs.")] = None,
    as_json: Json = False,
) -> None:
    """Show an architecture's stages, parameters and MACs, or a space's decisions and size."""
    from nas.screens.describe import describe_source

    figures, screen = describe_source(source, num_classes=classes, resolution=resolution)
    _print(as_json, lambda: figures, lambda: screen)


@app.command()
def measure(
    sources: Annotated[
        list[str] | None, typer.Argument(help="Architectures: files, or published names.")
    ] = None,
    table: Annotated[
        str | None, typer.Option(help="A space, or a search file: measure all of its blocks instead.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The table's file (default: in the cache).")] = None,
    classes: Annotated[int | None, typer.Option(min=2, help="Classes of the networks.")] = None,
    resolution: Annotated[int | None, typer.Option(min=8, max=4096, help="Pixels.")] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=2, max=65_536, help="Images of a step (default: 32; on a GPU 256).")
    ] = None,
    precision: Annotated[
        Precision | None, typer.Option(help="Default: bf16 on a GPU, fp32 on a CPU.")
    ] = None,
    run: Annotated[
        Path | None, typer.Option(help="A run whose step times are measured again, on this device.")
    ] = None,
    top: Annotated[
        int | None, typer.Option(min=1, help="With --run: how many of its best trials (default: 50).")
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure networks side by side here: size, training step, inference, memory; or a space's blocks."""
    if run is not None:
        from nas.screens.retarget import retarget_figures, retarget_on_console, retarget_screen

        if sources or classes or resolution or batch_size or precision or table or out:
            raise typer.BadParameter("--run takes its networks and conditions from the run; leave out others")
        result = retarget_on_console(run, top=top or 50, console=Console(stderr=True))
        _print(as_json, lambda: retarget_figures(result), lambda: retarget_screen(result))
        return
    if top is not None:
        raise typer.BadParameter("--top is of --run: how many of its best trials are measured again")
    from nas.commands.measure_request import measure_request

    measure_it, screen = measure_request(sources or [], table=table, out=out)
    figures = measure_it(
        num_classes=classes,
        resolution=resolution,
        batch_size=batch_size,
        precision=precision.value if precision else None,
        console=Console(stderr=True),
    )
    _print(as_json, lambda: figures, lambda: screen(figures))


@app.command()
def status(
    run: Annotated[Path, typer.Argument(help="A run directory, or a folder of runs.")] = Path("runs"),
    watch: Annotated[bool, typer.Option("--watch", help="Look again every two seconds.")] = False,
    as_json: Json = False,
) -> None:
    """Show how a search is going: trials, the best so far, time left; or list the runs of a folder."""
    from nas.results.run_list import folder_screen, folder_status, holds_runs
    from nas.results.status import run_status
    from nas.screens.status import status_screen
    from nas.screens.status import watch as watch_run

    if holds_runs(run):
        if watch:
            raise typer.BadParameter(f"--watch follows one run; name one of those in {run}")
        listed = folder_status(run)
        _print(as_json, lambda: listed, lambda: folder_screen(listed))
        return
    if watch:
        watch_run(run, Console(highlight=False), as_json=as_json)
        return
    figures = run_status(run)
    _print(as_json, lambda: figures, lambda: status_screen(figures))


@app.command()
def simulate(
    source: Annotated[
        Path, typer.Argument(help="A Parquet table of trained architectures, a shipped one's name, or a run.")
    ],
    strategies: Annotated[
        list[str] | None, typer.Option(help="Names, separated by commas, or all (default).")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=10_000, help="How many trials at once.")] = 1,
    trials: Annotated[
        int | None, typer.Option(min=1, max=100_000, help="Of each search (default: 200; the run's own).")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, max=10_000, help="Searches of each strategy.")] = 20,
    reward: Annotated[
        list[str] | None, typer.Option(help="quantity=exponent; none: accuracy alone (default: the paper's).")
    ] = None,
    column: Annotated[
        list[str] | None, typer.Option(help="role=COLUMN of a table, as in accuracy=test_acc.")
    ] = None,
    reference: Annotated[
        str | None, typer.Option(help="The row of a table that ratios are to (default: medians).")
    ] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="strategy.setting=value.")] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The picture (default: SOURCE-simulated.png).")
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare strategies in simulated searches, on a table or on a model of an earlier run."""
    from nas.screens.simulate import simulate_screen
    from nas.simulation.compare_strategies import compare_on_console

    figures = compare_on_console(
        source,
        strategies=strategies or ["all"],
        settings=set_ or [],
        terms=reward or [],
        columns=column or [],
        reference=reference,
        trials=trials,
        workers=workers,
        seeds=seeds,
        output=output,
        console=Console(stderr=True),
    )
    _print(as_json, lambda: figures, lambda: simulate_screen(figures))


for command in (export, scale, train, evaluate, predict, verify, report, audit, doctor):
    app.command()(command)
app.command("import")(import_)


def _search_overrides(set_: list[str] | None, init: list[str] | None) -> list[str]:
    return [*(set_ or []), *([f"initial={json.dumps(init)}"] if init else [])]


def _print(as_json: bool, figures: Callable[[], dict[str, Any]], screen: Callable[[], Any]) -> None:
    if as_json:
        print(json.dumps(figures(), default=str))
    else:
        Console(highlight=False).print(screen())


def main() -> None:
    """Runs the command line; what a user got wrong ends with exit code 2 and no traceback."""
    try:
        app(prog_name="nas")
    except Exception as error:
        code = _exit_code(error)
        if code is None:
            raise
        _fail(str(error), code)


def _exit_code(error: Exception) -> int | None:
    """The code for what a user can mend; None for a bug, which keeps its traceback."""
    from nas.search.stopping import SearchStoppedError
    from nas.search.strategy_guard import SearchFailedError
    from nas.training.failure import TrainingFailedError
    from search_spaces.settings.yaml_files import ConfigError
    from trials.executors.ray_pool import WorkersError
    from trials.executors.timing_places import WrongDeviceError
    from trials.log.disk_wait import LogNotWrittenError
    from trials.log.driver_lock import RunLockedError

    if isinstance(error, SearchStoppedError):
        return error.exit_code
    codes = {
        ConfigError: EXIT_WRONG_INPUT,
        WorkersError: EXIT_WRONG_INPUT,
        WrongDeviceError: EXIT_WRONG_INPUT,
        RunLockedError: EXIT_LOCKED,
        SearchFailedError: EXIT_FAILED,
        TrainingFailedError: EXIT_FAILED,
        LogNotWrittenError: EXIT_NOT_WRITTEN,
    }
    return next((code for kind, code in codes.items() if isinstance(error, kind)), None)


def _fail(message: str, code: int) -> NoReturn:
    print(message, file=sys.stderr)
    sys.exit(code)

"""The command nas search, and its launch from the words of the command line."""

import json
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from nas.commands.options import Executor, Json, Log, RayAddress, Trust
from nas.commands.output import show
from nas.screens.terminal import print_notes, say_start, terminal
from nas.search.stopping import GRACE_SECONDS
from search_spaces.settings.overrides import Override
from trials.log.disk_wait import DISK_WAIT_SECONDS

if TYPE_CHECKING:
    from nas.events import SearchEvent
    from nas.search.search import SearchResult


def search(
    file: Annotated[str, typer.Argument(help="A search file, or a shipped one's name.")],
    run: Annotated[Path | None, typer.Option(help="The run directory; one that exists is continued.")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="How many trials at once (default: all).")
    ] = None,
    per_device: Annotated[
        int, typer.Option(min=1, max=64, help="Workers that share a device; timing still has it alone.")
    ] = 1,
    ray_address: RayAddress = None,
    executor: Annotated[
        Executor, typer.Option(help="What runs trials; ray_tune: through Ray Tune, on whole devices.")
    ] = Executor.RAY,
    in_process: Annotated[
        bool, typer.Option("--in-process", help="As --executor in_process: one at a time, without Ray.")
    ] = False,
    log: Log = None,
    budget: Annotated[
        str | None,
        typer.Option(help="A time, as 30m or 2h: as many trials, and images, as fit it on the devices here."),
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="key.path=value; replaces one value.")
    ] = None,
    init: Annotated[
        list[str] | None, typer.Option(help="An architecture to begin with: a file (may be repeated).")
    ] = None,
    grace: Annotated[
        float, typer.Option(min=0, max=86_400, help="Seconds that trials in flight have when it is stopped.")
    ] = GRACE_SECONDS,
    disk_wait: Annotated[
        float, typer.Option(min=0, max=604_800, help="Seconds that a full disk is waited for.")
    ] = DISK_WAIT_SECONDS,
    shared: Annotated[
        bool, typer.Option("--shared", help="Let others read a new run; else only you may.")
    ] = False,
    estimate: Annotated[
        bool,
        typer.Option("--estimate", help="Time a few steps, say what it would cost, begin nothing."),
    ] = False,
    assume: Annotated[
        list[str] | None, typer.Option(help="With --estimate: devices=64, images=N, classes=K (repeated).")
    ] = None,
    trust: Trust = None,
    as_json: Json = False,
) -> None:
    """Search for the best architecture; started again on the same run it continues."""
    console = terminal(stderr=as_json)
    if in_process and executor is Executor.RAY_TUNE:
        raise typer.BadParameter("--in-process and --executor ray_tune exclude each other; leave out one")
    if in_process:
        executor = Executor.IN_PROCESS
    overrides = _search_overrides(set_, init)
    if estimate:
        if budget is not None:
            raise typer.BadParameter("--estimate and --budget exclude each other; leave out one")
        from nas.estimating.search_estimate import estimate_on_console
        from nas.screens.estimate import estimate_screen

        figures = estimate_on_console(
            file,
            overrides=overrides,
            workers=workers,
            in_process=executor is Executor.IN_PROCESS,
            per_device=per_device,
            assume=assume or [],
            console=console,
        )
        show(as_json, lambda: figures, lambda: estimate_screen(figures))
        return
    if assume:
        raise typer.BadParameter("--assume goes with --estimate")
    place = run or Path("runs") / f"{Path(file).stem}-{datetime.now():%Y%m%d-%H%M%S}"
    say_start(console, f"{file}, in {place}")
    from nas.results.summary import search_summary
    from nas.screens.summary import summary_screen
    from trials.log.run_places import local_file, run_folder

    folder = run_folder(place)
    file = local_file(file)
    if budget is not None:
        if ray_address is not None:
            raise typer.BadParameter(
                "--budget counts the devices of this machine, not those at --ray-address; leave out one, and "
                "give --set budget.trials=N to a cluster"
            )
        from nas.estimating.fitted_search import fit_to_time
        from nas.screens.time_budget import time_budget_lines

        fitted = fit_to_time(
            budget,
            file,
            folder,
            overrides=overrides,
            workers=workers,
            in_process=executor is Executor.IN_PROCESS,
            per_device=per_device,
            console=console,
        )
        console.print(time_budget_lines(fitted), soft_wrap=True)
        overrides = [*overrides, *fitted.overrides]
    result = launch_search(
        file,
        folder,
        overrides=overrides,
        workers=workers,
        ray_address=ray_address,
        executor=executor,
        per_device=per_device,
        log=log or (),
        grace=grace,
        disk_wait=disk_wait,
        shared=shared,
        console=console,
    )
    summary = search_summary(result)
    show(as_json, lambda: summary, lambda: summary_screen(result, summary))


def launch_search(
    file: str,
    folder: Path,
    *,
    overrides: Sequence[str | Override],
    workers: int | None,
    ray_address: str | None,
    executor: Executor = Executor.RAY,
    grace: float = GRACE_SECONDS,
    disk_wait: float = DISK_WAIT_SECONDS,
    per_device: int = 1,
    log: Sequence[str] = (),
    shared: bool = False,
    console: Console,
) -> "SearchResult":
    """Reads the file, opens the images, starts the workers and searches; shows it all on the console.

    Raises:
        ConfigError: the file, the images, the options or the run directory are not right; nothing was
        created.
        SearchStoppedError: SIGINT or SIGTERM came; trials in flight had `grace` seconds to end.
        LogNotWrittenError: the disk was full for `disk_wait` seconds.
        RayLostError: the local Ray has died, and starting it again did not help.
    """
    from nas.commands.launch import compile_kernels, continuable, executor_of, packed_images, timing_device
    from nas.events import Begun
    from nas.report.page import report_after_search
    from nas.screens.live import LiveView
    from nas.search.config import NAME_IMAGES, SearchConfig, read_search_config
    from nas.search.decided_precision import check_precisions_here
    from nas.search.loggers import Loggers
    from nas.search.search import check_run
    from nas.search.search import search as run_search
    from nas.search.stopping import StopRequest
    from search_spaces.interchange.exportable import exportable, exportable_words
    from search_spaces.settings.setting_errors import naming_origins
    from search_spaces.settings.yaml_files import to_mapping
    from trials.images.sources import source_words
    from trials.log.disk_wait import Patience
    from trials.log.file_names import BEST_FILE, REPORT_FILE
    from trials.log.store import RunStore

    config = read_search_config(file, overrides=overrides)
    named = partial(naming_origins, SearchConfig, file, overrides=overrides)
    with named():
        config = check_run(config, folder).config  # images may take minutes
        if ray_address is None:
            check_precisions_here(config)
    execute, where = executor_of(
        executor,
        workers=workers,
        ray_address=ray_address,
        per_device=per_device,
        timing_device=timing_device(config, folder),
        stall_seconds=config.stall_timeout,
    )
    if ray_address is None:
        compile_kernels(console)
    say = partial(console.print, soft_wrap=True)
    loggers = Loggers(log, folder, to_mapping(config), say=say, at_stop=[folder / BEST_FILE])
    print_notes(console, "recipe", config.recipe.notes())
    with named():
        images = packed_images(config, console, advice=NAME_IMAGES)
    size = config.space.num_architectures or config.space.size
    searching = (
        f"searching  {size:,} architectures; {config.strategy.name}, {where}\n"
        f"           images of {source_words(config.data.source)}: {len(images.train):,} to train on at "
        f"{images.resolution} px, {len(images.minival):,} more for minival\n"
        f"           {exportable_words(exportable(config.space))}"
    )
    with loggers:
        with (
            named(),
            LiveView(
                console,
                config.budget,
                objective=config.objective,
                finalists=config.finalists.trainings if config.finalists else 0,
                finalist_epochs=config.finalist_epochs,
            ) as view,
            StopRequest(grace=grace, say=view.say) as stop,
        ):

            def show(event: "SearchEvent") -> None:
                if isinstance(event, Begun):  # everything has been checked
                    view.say(searching)
                view.show(event)
                loggers.show(event)

            patience = Patience(seconds=disk_wait, say=view.say, give_up=lambda: stop.is_made)
            open_run = partial(RunStore, patience=patience, shared=shared)
            with continuable(folder):
                result = run_search(
                    config, folder, execute=execute, on_event=show, open_run=open_run, stop=stop
                )
        report_after_search(folder, console)
        for note in loggers.attach(folder / BEST_FILE, folder / REPORT_FILE):
            console.print(note, soft_wrap=True)
    return result


def _search_overrides(set_: list[str] | None, init: list[str] | None) -> list[str | Override]:
    if not init:
        return list(set_ or [])
    typed = tuple(f"--init {source}" for source in init)
    sources = json.dumps(init, ensure_ascii=False)
    return [*(set_ or []), Override("initial", sources, " ".join(typed), typed)]

"""A search: set up in its run directory, or rebuilt from its log; then the loop, the winner, the views."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from analysis.finalists import Standing, finalists, standings
from nas.events import Begun, RowWritten, SearchEvent
from nas.search.best_so_far import BestSoFar
from nas.search.config import SearchConfig, check_networks
from nas.search.decided_kernels import decided_kernels, kernels_here
from nas.search.decided_precision import decided_precision
from nas.search.environment import describe_environment, record_environment, workers_file
from nas.search.kept_checkpoints import check_checkpoint_dir, checkpoint_folder
from nas.search.own_ops import check_own_ops
from nas.search.predicted_step_time import (
    PredictionError,
    check_table_file,
    open_prediction,
    searched_space,
)
from nas.search.replay import keep_continuable, queue_of, replay
from nas.search.same_search import as_begun, check_same_search
from nas.search.search_loop import RunRecord, SearchLoop
from nas.search.shared_setup import driver_images, shared_setup
from nas.search.stopping import SearchStoppedError, StopRequest
from nas.search.trial_builder import TrialBuilder
from nas.search.warm_start import check_warm_start
from search_spaces.networks.provenance import DEFAULT_CLASSES
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.yaml_files import yaml_text
from trials.images.data_record import DataRecord, check_same_data, note_of_pixels, record_of
from trials.log.disk_wait import LogNotWrittenError
from trials.log.file_names import OWN_OPS_FILE, SEARCH_FILE
from trials.log.own_ops_record import own_ops_record
from trials.log.row_types import TrialRow
from trials.log.run_folder import check_folder, has_log, is_run
from trials.log.run_places import place_of
from trials.log.run_reader import recorded_identity
from trials.log.store import RunStore
from trials.run_trial import start_worker
from trials.trial import Execute, Notice, StartWorker
from trials.worker_setup import WorkerSetup

IMAGES_NOT_RECORDED = (
    "this run did not record its images; those of today are recorded, and compared from now on"
)


@dataclass(frozen=True)
class SearchResult:
    """The rows of a search that has ended, and what they say of its winner."""

    folder: Path
    data: str  # the source of the images
    rows: list[TrialRow]
    best: TrialRow | None
    exhausted: bool  # the space ran out before the budget
    standings: list[Standing] = field(default_factory=list)  # of finalists, the winner first
    prediction_error: PredictionError | None = None  # against step times measured in this run
    class_weights: str = "none"  # of the recipe: its winner is to be trained with them, too


@dataclass(frozen=True)
class CheckedRun:
    """A run directory, checked before images are opened.

    Attributes:
        config: of the search, as an earlier version meant it where that has begun the run.
        is_continued: whether it holds a run.
        notes: sentences about what has changed in it, or was not recorded.
    """

    config: SearchConfig
    is_continued: bool
    notes: tuple[str, ...] = ()


def check_run(config: SearchConfig, folder: Path) -> CheckedRun:
    """Checks the run directory before images are opened.

    Raises:
        ConfigError: the run was made with another configuration, the folder holds something else, the run
            or the table to begin with is none, checkpoint_dir cannot be reached, or an op of the user's own
            is not imported, or unsound.
    """
    check_folder(folder)
    check_checkpoint_dir(config)
    if is_run(folder) or (has_log(folder) and recorded_identity(folder)):
        config = as_begun(config, folder)
        notes = check_same_search(config, folder)
        check_own_ops(config, folder)
        return CheckedRun(config, True, tuple(notes))
    check_own_ops(config)
    check_warm_start(config)
    check_table_file(config)
    return CheckedRun(config, False)


def search(
    config: SearchConfig,
    run: str | Path,
    *,
    execute: Execute,
    start: StartWorker | None = None,
    num_classes: int = DEFAULT_CLASSES,
    on_event: Callable[[SearchEvent], None] = lambda event: None,
    open_run: Callable[[Path], RunStore] = RunStore,
    stop: StopRequest | None = None,
) -> SearchResult:
    """Searches until the budget is spent, in the run directory `run`; a run that exists is continued.

    `start` replaces the real worker in tests, and then `num_classes` stands for the images' classes.
    Everything is on disk before it is acted on. Once a `stop` is requested, nothing new is begun.

    Raises:
        ConfigError: the run was made with another configuration, or the folder holds something else.
        RunLockedError: another driver works on this run.
        SearchFailedError: several trials in a row crashed, or the strategy or the reward is at fault.
        SearchStoppedError: it was stopped on request.
        LogNotWrittenError: the disk does not take the log.
    """
    folder, stop = Path(run), stop or StopRequest()
    own_workers = start is None
    checked, data_is_recorded = check_run(config, folder), False
    config = checked.config
    continued = checked.is_continued
    data: DataRecord | None = None  # made-up workers see no images
    setup: WorkerSetup | None = None
    if start is None:
        images = driver_images(config)
        data = record_of(config.data.source, images)
        data_is_recorded = continued and check_same_data(data, folder, begun="search")
        num_classes = images.num_classes
        check_networks(config, num_classes=num_classes)
        setup = shared_setup(config, images, checkpoints=checkpoint_folder(config, folder))
    predicted = open_prediction(
        config, folder if continued else None, num_classes=num_classes, on_this_device=own_workers
    )
    with open_run(folder) as store, removed_if_never_begun(store, new=not continued):
        if store.asks and not continued:
            raise ConfigError(
                f"{folder}/{SEARCH_FILE}: is gone, and the log has not recorded it; put it back from a copy"
            )
        environment = describe_environment()
        if data is not None and not data_is_recorded:
            for name, content in data.files().items():
                store.write_bytes(name, content)
        if setup is not None and setup.own_ops is not None and not continued:
            store.write_bytes(OWN_OPS_FILE, own_ops_record(setup.own_ops))
        if predicted is not None:
            predicted.keep(store)
        if start is None:
            assert setup is not None, "made for own workers"
            decided = decided_precision(config, store.trials.values())
            table = None if predicted is None else predicted.table
            kernels = decided_kernels(store.trials.values(), table=table) or kernels_here()
            start = partial(start_worker, setup=replace(setup, decided=decided, kernels=kernels))
        number = record_environment(store, environment)
        best = BestSoFar(store)

        def row_written(row: TrialRow) -> None:
            best.write_if_best(row)
            on_event(RowWritten(row))

        record = RunRecord(
            config,
            store,
            environment_id=environment.environment_id,
            workers_file=workers_file(number),
            on_row=row_written,
        )
        build = TrialBuilder(config, store, record, predicted=predicted)
        space = searched_space(config, predicted, num_classes=num_classes)
        queue, checkpoints = queue_of(
            config, space, store, data_digest=data.facts.digest if data is not None else ""
        )
        store.record_identity(yaml_text(config, header=f"nas search {place_of(folder)}/{SEARCH_FILE}"))
        on_event(
            Begun(
                list(store.trials.values()),
                len(store.in_flight()),
                tuple(store.quarantined),
                tuple(store.foreign),
            )
        )
        for note in checked.notes:
            on_event(Notice(note))
        if data is not None and continued and not data_is_recorded:
            on_event(Notice(IMAGES_NOT_RECORDED))
        if data is not None and data_is_recorded:
            for note in note_of_pixels(data, folder, begun="search"):
                on_event(Notice(note))
        replay(queue, store, record.reward, best)
        keep_continuable(config, store, queue, build, checkpoints)
        loop = SearchLoop(queue, record, build, checkpoints=checkpoints, on_event=on_event, stop=stop)
        with views_at_the_end(store), _stopped_by_request(store, stop):
            for event in execute(start, loop.trials()):
                loop.handle(event)
            if stop.is_made:
                raise KeyboardInterrupt
            best.choose_winner(queue)
            if left := checkpoints.remove_all():
                on_event(Notice(left))
        rows = list(store.trials.values())
        return SearchResult(
            folder=folder,
            data=config.data.source,
            rows=rows,
            best=best.row,
            exhausted=queue.exhausted,
            standings=standings(finalists(rows)),
            prediction_error=predicted.error(rows) if predicted else None,
            class_weights=config.recipe.class_weights,
        )


@contextmanager
def removed_if_never_begun(store: RunStore, *, new: bool) -> Iterator[None]:
    """A new run that failed before its first ask (no workers, say) leaves nothing behind."""
    try:
        yield
    except BaseException:
        if new and not store.asks:
            store.discard()
        raise


@contextmanager
def views_at_the_end(store: RunStore) -> Iterator[None]:
    """Brings the views up to date however a search ends, unless the disk takes nothing."""
    try:
        yield
    except LogNotWrittenError:
        raise
    except BaseException:
        if store.asks:
            store.refresh_views(force=True)
        raise
    store.refresh_views(force=True)


@contextmanager
def _stopped_by_request(store: RunStore, stop: StopRequest) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        if stop.signal_number is None:
            raise
        raise SearchStoppedError(
            stop.signal_number, store.folder, trials=len(store.trials), in_flight=len(store.in_flight())
        ) from None

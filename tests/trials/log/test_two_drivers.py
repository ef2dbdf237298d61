"""A second driver begins on a run, at any step of the disk of the first, whose lock nobody respects.

The lock is removed before the second begins, as on a host or a file system without kernel locks. The second
searches to its end while the first stands still; then the first goes on, and must not write anything.
"""

import random
from functools import partial
from pathlib import Path

import pytest
from fault_files import FaultyDisk, Operation
from fault_searches import config_of
from formula import formula_worker

from nas.events import RowWritten, SearchEvent
from nas.results.verify import verify_run
from nas.search.search import search
from nas.strategies.table import STRATEGIES
from search_spaces.settings.config_error import ConfigError
from trials.executors.simulated import simulated
from trials.log.driver_lock import RunLockedError
from trials.log.durable_files import DurableFiles
from trials.log.log_end import FencedError
from trials.log.row_types import TrialRow
from trials.log.store import RunStore

SEED = 5


def search_on(folder: Path, strategy: str, disk: FaultyDisk, told: list[TrialRow]) -> None:
    """A search whose acknowledged rows are noted."""

    def note(event: SearchEvent) -> None:
        if isinstance(event, RowWritten):
            told.append(event.row)

    open_run = partial(RunStore, files=DurableFiles(disk), segment_size=4)
    search(
        config_of(strategy),
        folder,
        execute=simulated(),
        start=formula_worker,
        open_run=open_run,
        on_event=note,
    )


def steps_of(parent: Path, strategy: str) -> list[Operation]:
    """The steps of an undisturbed search."""
    steps: list[Operation] = []
    search_on(
        parent / "run", strategy, FaultyDisk(parent, watch=lambda step, disk, data: steps.append(step)), []
    )
    return steps


def second_driver_at(number: int, parent: Path, strategy: str) -> str:
    """How the first driver ended. Nothing of what either has acknowledged may be lost or replaced."""
    parent.mkdir()
    folder = parent / "run"
    first: list[TrialRow] = []
    second: list[TrialRow] = []
    files: dict[Path, bytes] = {}

    def watch(step: Operation, disk: FaultyDisk, data: bytes) -> None:
        if step.number == number:
            (folder / "lock").unlink(missing_ok=True)
            search_on(folder, strategy, FaultyDisk(parent), second)
            files.update({path: path.read_bytes() for path in (folder / "log").rglob("*.parquet")})

    ended = "to its end"
    try:
        search_on(folder, strategy, FaultyDisk(parent, watch=watch), first)
    except (FencedError, ConfigError, RunLockedError) as error:
        ended = type(error).__name__
    with RunStore(folder, segment_size=4) as store:
        for row in (*first, *second):
            assert store.trials[row["trial_id"]] == row, (number, "an acknowledged row is lost or replaced")
        assert sorted(store.trials) == list(range(12))
    assert verify_run(folder).is_whole, number
    if ended == "FencedError":
        now = {path: path.read_bytes() for path in files if path.is_file()}
        assert now == {path: files[path] for path in now}, (number, "a part was replaced")
    return ended


@pytest.mark.parametrize("strategy", ["evolution", "successive_halving"])
def test_second_driver_at_a_sample_of_disk_steps_replaces_and_loses_nothing(
    strategy: str, tmp_path: Path
) -> None:
    steps = steps_of(tmp_path / "whole", strategy)
    rng = random.Random(SEED)
    ends = [
        second_driver_at(number, tmp_path / str(number), strategy)
        for number in rng.sample(range(60, len(steps) - 60), 1)
    ]
    assert ends == ["FencedError"]


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_second_driver_at_every_disk_step_replaces_and_loses_nothing(strategy: str, tmp_path: Path) -> None:
    steps = steps_of(tmp_path / "whole", strategy)
    ends = [second_driver_at(step.number, tmp_path / str(step.number), strategy) for step in steps]
    print(f"\n{strategy}: a second driver at {len(steps)} steps; the first ended: ", end="")
    print(", ".join(f"{ends.count(end)} {end}" for end in sorted(set(ends))))

"""A search that is killed, or loses power, or meets a failing disk, at any step ends as if nothing had been.

Every step of the disk of a 12-trial run with segments of 4 is a place to fail. The oracle is the run that
nobody disturbed: same asks, same rows, but for times and attempts. What is left of a crash is put on the disk
and the search is started on it; crashes that leave the same files are tried once.
"""

import errno
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
from fault_files import STEPS_THAT_NEED_SPACE, Crash, Fault, FaultyDisk, Image, Operation
from fault_searches import OTHERS, SAMPLE, Record, config_of, record_of
from formula import formula_worker

from nas.results.verify import verify_run
from nas.search.config import SearchConfig
from nas.search.search import search
from nas.strategies.table import STRATEGIES
from search_spaces.settings.config_error import ConfigError
from trials.executors.simulated import simulated
from trials.log.disk_wait import LogNotWrittenError, Patience
from trials.log.durable_files import DurableFiles
from trials.log.store import RunStore

SEED = 20260203  # of the sample that the ordinary tests take


def run(folder: Path, config: SearchConfig, disk: FaultyDisk, *, patience: Patience | None = None) -> None:
    open_run = partial(RunStore, files=DurableFiles(disk), segment_size=4, patience=patience)
    search(config, folder, execute=simulated(), start=formula_worker, open_run=open_run)


def recorded(folder: Path) -> Record:
    """All asks and rows but for what may differ between runs of one search."""
    with RunStore(folder, segment_size=4) as store:
        return record_of(store)


@dataclass(frozen=True)
class Left:
    """What a crash at one step leaves."""

    kind: str
    operation: Operation
    image: Image


@dataclass(frozen=True)
class Whole:
    """The undisturbed run of a strategy: its record, its steps, and every crash that it could have met."""

    record: Record
    operations: list[Operation]
    crashes: list[Left]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Makes the undisturbed run of a strategy, once."""

    @cache
    def of(strategy: str) -> Whole:
        parent = tmp_path_factory.mktemp(strategy)
        operations: list[Operation] = []
        crashes: list[Left] = []

        def watch(operation: Operation, disk: FaultyDisk, data: bytes) -> None:
            operations.append(operation)
            crashes.append(Left("before", operation, disk.image()))
            if operations[1:]:
                crashes.append(Left("after", operations[-2], disk.image()))
            if operation.name == "write":
                crashes.append(Left("torn", operation, disk.torn_image(operation.path, data)))
            unsynced, nameless = disk.power_images()
            crashes.append(Left("power lost", operation, unsynced))
            crashes.append(Left("power lost, names first", operation, nameless))

        disk = FaultyDisk(parent, watch=watch)
        run(parent / "run", config_of(strategy), disk)
        crashes.append(Left("after", operations[-1], disk.image()))
        return Whole(recorded(parent / "run"), operations, crashes)

    return of


def distinct(crashes: list[Left]) -> Iterator[tuple[Left, int]]:
    """One crash of each image, and how many leave it."""
    by_key: dict[Any, list[Left]] = {}
    for crash in crashes:
        by_key.setdefault(crash.image.key, []).append(crash)
    return ((same[0], len(same)) for same in by_key.values())


def check(folder: Path, strategy: str, expected: Record, case: object) -> None:
    """Continues the search to its end; it is then the run that nobody disturbed."""
    run(folder, config_of(strategy), FaultyDisk(folder.parent))
    assert recorded(folder) == expected, case
    assert verify_run(folder).faults == (), case


def survive(parent: Path, crash: Left, strategy: str, expected: Record) -> None:
    parent.mkdir()
    crash.image.write(parent)
    check(parent / "run", strategy, expected, (crash.kind, crash.operation))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_crash_at_a_sample_of_disk_steps_loses_nothing(strategy: str, whole: Any, tmp_path: Path) -> None:
    undisturbed = whole(strategy)
    count = SAMPLE.get(strategy, OTHERS)
    for i, crash in enumerate(random.Random(SEED).sample(undisturbed.crashes, count)):
        survive(tmp_path / str(i), crash, strategy, undisturbed.record)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_crash_at_every_disk_step_loses_nothing(
    strategy: str, whole: Any, tmp_path: Path, record_property: Any
) -> None:
    undisturbed = whole(strategy)
    cases = tried = 0
    for crash, same in distinct(undisturbed.crashes):
        survive(tmp_path / str(tried), crash, strategy, undisturbed.record)
        cases, tried = cases + same, tried + 1
    print(f"\n{strategy}: {len(undisturbed.operations)} steps, {cases} crashes, {tried} different ones")
    assert cases > 1000


def disturbed(parent: Path, strategy: str, fault: Fault, *, patience: Patience | None = None) -> bool:
    """Runs until the fault ends it; whether it did."""
    parent.mkdir(exist_ok=True)
    try:
        run(parent / "run", config_of(strategy), FaultyDisk(parent, fault=fault), patience=patience)
    except (Crash, ConfigError, LogNotWrittenError):
        return True
    return False


def sampled(operations: list[Operation], count: int, *names: str) -> list[int]:
    numbers = [operation.number for operation in operations if not names or operation.name in names]
    return sorted(random.Random(SEED).sample(numbers, min(count, len(numbers))))


def check_failing_disk(whole: Whole, strategy: str, parent: Path, steps: list[int], error: int) -> None:
    """Once: a patient search goes on by itself, another one stops. For ever: it stops. All continue."""
    for at in steps:
        folder = parent / f"{error}-{at}"
        folder.mkdir()
        for name, forever in (("once", False), ("ever", True)):
            disturbed(folder / name, strategy, Fault(at, error, forever))
            check(folder / name / "run", strategy, whole.record, (name, error, whole.operations[at]))
        if error == errno.ENOSPC and whole.operations[at].name != "make_folder":
            patience = Patience(seconds=60, sleep=lambda seconds: None)
            assert not disturbed(folder / "patient", strategy, Fault(at, error), patience=patience)
            assert recorded(folder / "patient" / "run") == whole.record


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
def test_a_failing_disk_stops_the_search_and_loses_nothing(whole: Any, tmp_path: Path, error: int) -> None:
    undisturbed = whole("evolution")
    names = STEPS_THAT_NEED_SPACE if error == errno.ENOSPC else ()
    check_failing_disk(undisturbed, "evolution", tmp_path, sampled(undisturbed.operations, 2, *names), error)


def test_a_folder_of_parts_that_does_not_sync_is_no_other_driver(whole: Any, tmp_path: Path) -> None:
    """The part has its name by then, and is this driver's own."""
    undisturbed = whole("evolution")
    steps = {operation.number: operation for operation in undisturbed.operations}
    synced = [
        number
        for number, operation in steps.items()
        if operation.name == "sync_folder" and operation.path.name == "parts" and number > 50
    ]
    config, disk = config_of("evolution"), FaultyDisk(tmp_path, fault=Fault(synced[0], errno.EIO))
    with pytest.raises(LogNotWrittenError, match="cannot be written"):
        run(tmp_path / "run", config, disk)
    check(tmp_path / "run", "evolution", undisturbed.record, steps[synced[0]])


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_disk_that_fails_at_any_step_loses_nothing(
    strategy: str, whole: Any, tmp_path: Path, error: int
) -> None:
    undisturbed = whole(strategy)
    steps = [operation.number for operation in undisturbed.operations]
    if error == errno.ENOSPC:
        steps = sampled(undisturbed.operations, len(steps), *STEPS_THAT_NEED_SPACE)
    check_failing_disk(undisturbed, strategy, tmp_path, steps, error)
    print(f"\n{strategy}: {errno.errorcode[error]} at {len(steps)} steps, once and for ever")


def check_double_crash(whole: Whole, strategy: str, parent: Path, rng: random.Random) -> None:
    """A crash, and another one (of any kind) while the driver recovers, or later."""
    crash = rng.choice(whole.crashes)
    parent.mkdir()
    crash.image.write(parent)
    second = Fault(rng.randrange(80), rng.choice(["before", "after", "torn"]))
    disturbed(parent, strategy, second)
    check(parent / "run", strategy, whole.record, (crash.kind, crash.operation, second))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_second_crash_during_recovery_loses_nothing(strategy: str, whole: Any, tmp_path: Path) -> None:
    rng = random.Random(SEED)
    for i in range(OTHERS):
        check_double_crash(whole(strategy), strategy, tmp_path / str(i), rng)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_many_second_crashes_during_recovery_lose_nothing(strategy: str, whole: Any, tmp_path: Path) -> None:
    rng = random.Random(SEED + 1)
    for i in range(200):
        check_double_crash(whole(strategy), strategy, tmp_path / str(i), rng)
    print(f"\n{strategy}: 200 double crashes")


def test_simulated_crashes_leave_the_disk_as_a_driver_that_dies_there(whole: Any, tmp_path: Path) -> None:
    """What is made from images and what a driver that dies there leaves is the same."""
    undisturbed = whole("evolution")
    for i, at in enumerate(sampled(undisturbed.operations, 3)):
        assert disturbed(tmp_path / str(i), "evolution", Fault(at, "before"))
        check(tmp_path / str(i) / "run", "evolution", undisturbed.record, undisturbed.operations[at])

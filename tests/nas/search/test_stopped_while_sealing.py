"""SIGTERM while the driver rewrites a block of the log as segments: the next start finds a whole log."""

import os
import signal
from functools import partial
from pathlib import Path

import pytest
from fault_files import FaultyDisk, Operation
from fault_searches import Record, config_of, record_of
from formula import formula_worker
from search_driver import NEVER

from nas.results.verify import verify_run
from nas.search.search import search
from nas.search.stopping import SearchStoppedError, StopRequest
from trials.executors.in_process import in_process
from trials.log.durable_files import DurableFiles
from trials.log.parts import PART_NAME, PARTS, SEGMENTS
from trials.log.store import RunStore

CONFIG = config_of("random_search")


def run(parent: Path, disk: FaultyDisk, stop: StopRequest | None = None) -> Record:
    """A search of 12 trials with segments of 4; the record of its log."""
    open_run = partial(RunStore, files=DurableFiles(disk), segment_size=4)
    execute = in_process(device="cpu")
    search(CONFIG, parent / "run", execute=execute, start=formula_worker, open_run=open_run, stop=stop)
    with RunStore(parent / "run", segment_size=4) as store:
        return record_of(store)


def is_sealing(step: Operation) -> bool:
    """True for a step that writes a block's segments, reads them back, or removes the parts of the block."""
    if step.name == "sync_folder":
        return step.path.match(f"*/{SEGMENTS}")
    folder = step.path.parent
    removes = step.name == "remove" and folder.match(f"*/{PARTS}") and PART_NAME.fullmatch(step.path.name)
    return bool(removes) or (step.name != "list" and folder.match(f"*/{SEGMENTS}"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Record, list[int]]:
    """The undisturbed record, and the numbers of all steps that seal a block."""
    steps: list[int] = []

    def watch(step: Operation, disk: FaultyDisk, data: bytes) -> None:
        if is_sealing(step):
            steps.append(step.number)

    parent = tmp_path_factory.mktemp("whole")
    return run(parent, FaultyDisk(parent, watch=watch)), steps


@pytest.mark.parametrize("signals", [1, 2])
@pytest.mark.parametrize("share", [0.0, 0.2, 0.4, 0.6, 0.8, 0.99])
def test_a_search_that_is_stopped_while_it_seals_a_block_goes_on_as_if_it_had_not_been(
    share: float, signals: int, whole: tuple[Record, list[int]], tmp_path: Path
) -> None:
    record, steps = whole
    at = steps[int(share * len(steps))]

    def watch(step: Operation, disk: FaultyDisk, data: bytes) -> None:
        if step.number == at:
            for _ in range(signals):
                os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(SearchStoppedError) as stopped, StopRequest(grace=NEVER) as stop:
        run(tmp_path, FaultyDisk(tmp_path, watch=watch), stop)
    assert stopped.value.exit_code == 143
    assert run(tmp_path, FaultyDisk(tmp_path)) == record
    assert verify_run(tmp_path / "run").faults == ()
    assert not list((tmp_path / "run").rglob("*.tmp"))
    segments = sorted(path.name[:18] for path in (tmp_path / "run" / SEGMENTS).iterdir())
    assert segments == [f"{kind}{i:08d}-{i + 3:08d}" for kind in "as" for i in (0, 4, 8)]

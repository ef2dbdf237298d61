"""The memory of a long search: as much after 300 trials as after 100."""

import ctypes
import os
import statistics
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from nas.events import RowWritten
from nas.search.config import read_search_config
from nas.search.search import search
from trials.executors.in_process import in_process
from trials.images.packed import open_images
from trials.run_trial import start_worker
from trials.worker_setup import WorkerSetup

TRIALS, EARLY, LATE = 300, slice(90, 110), slice(280, 300)
GROWTH = 1.05
OVERRIDES = (
    f"budget.trials={TRIALS}", "data.fraction=0.1", "recipe.epochs=1", "recipe.precision=fp32",
    "recipe.resolution=16", "recipe.batch_size=32",
)  # fmt: skip


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.skipif(sys.platform != "linux", reason="the size of a process is read from /proc")
@pytest.mark.usefixtures("as_a_worker")
def test_three_hundred_trials_leave_the_memory_as_it_was(tmp_path: Path) -> None:
    """Driver and worker in one process, and its resident size after each row.

    What glibc keeps of freed memory is given back first: it grows by fragments for a while, as is no leak.
    """
    config = replace(read_search_config("quick", overrides=OVERRIDES), finalists=None)
    images = open_images(config.data, resolution=16)
    sizes: list[int] = []

    def on_event(event: object) -> None:
        if isinstance(event, RowWritten):
            ctypes.CDLL(None).malloc_trim(0)
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            sizes.append(pages * os.sysconf("SC_PAGE_SIZE"))

    setup = WorkerSetup(data=config.data, reference=config.space.reference, data_digest=images.digest)
    search(
        config,
        tmp_path / "run",
        execute=in_process(device="cpu"),
        start=partial(start_worker, setup=setup),
        on_event=on_event,
    )
    early, late = (statistics.median(sizes[part]) for part in (EARLY, LATE))
    print(f"{early / 1e6:.1f} MB about trial 100, {late / 1e6:.1f} MB about trial 300")
    assert len(sizes) >= TRIALS
    assert late <= GROWTH * early

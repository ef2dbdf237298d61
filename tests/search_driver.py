"""A driver process of its own, for tests that kill it: a search whose trials compute a formula.

    python search_driver.py FOLDER TRIALS FREE GRACE

The first FREE trials that this process begins end at once; each later one ends when a line can be read from
standard input, or its end. Views are written after every row.
"""

import itertools
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from conftest import formula_worker

from nas.config import SearchConfig
from nas.news import RowWritten
from nas.search import search
from nas.stopping import SearchStoppedError, StopRequest
from search_spaces.yaml_io import from_mapping
from trials import store
from trials.executors.in_process import in_process
from trials.store import RunStore
from trials.trial import Event, RunTrial, Slot, Trial


def config_of(trials: int) -> SearchConfig:
    """A search over the tiny space."""
    mapping = {
        "space": "tiny",
        "data": {"source": "digits"},
        "recipe": {"epochs": 2, "batch_size": 64, "resolution": 16, "flip": False},
        "strategy": {"name": "evolution", "population": 4, "tournament": 2},
        "reward": {"step_time_ratio": -0.07, "params": -0.05},
        "baseline": 3,
        "budget": {"trials": trials},
    }
    return from_mapping(SearchConfig, mapping, name="search.yaml")


def drive(folder: Path, trials: int, free: int, grace: float) -> None:
    """Searches; says `row N` when trial N's row is durable, and `trial N` when N begins."""
    begun = itertools.count()
    store.SECONDS_BETWEEN_VIEWS = 0.0

    def start(slot: Slot) -> RunTrial:
        inner = formula_worker(slot)

        def run_trial(trial: Trial) -> Iterator[Event]:
            print("trial", trial.trial_id, flush=True)
            if next(begun) >= free:
                sys.stdin.readline()
            yield from inner(trial)

        return run_trial

    def told(news: object) -> None:
        if isinstance(news, RowWritten):
            print("row", news.row["trial_id"], flush=True)

    with StopRequest(grace=grace, say=lambda message: print(message, flush=True)) as stop:
        search(
            config_of(trials),
            folder,
            execute=in_process(device="cpu"),
            start=start,
            on_news=told,
            open_run=partial(RunStore, segment_size=4),
            stop=stop,
        )


if __name__ == "__main__":
    try:
        drive(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
    except SearchStoppedError as stopped:
        print(stopped, flush=True)
        sys.exit(stopped.exit_code)

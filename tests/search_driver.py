"""A search of trials that compute a formula, for tests that stop it or kill its process."""

import itertools
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from companion import Companion, Told
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

NEVER = 3600.0  # seconds, longer than any test


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


def driver(folder: Path, *, trials: int, free: int = sys.maxsize, grace: float = NEVER) -> Companion:
    """A driver in a process of its own; after its first `free` trials each one waits to go on.

    Says `trial N` when trial N begins, and `row N` when its row is written; views are written after each.
    """
    return Companion(_drive, folder, trials, free, grace)


def _drive(told: Told, folder: Path, trials: int, free: int, grace: float) -> None:
    begun = itertools.count()
    store.SECONDS_BETWEEN_VIEWS = 0.0

    def start(slot: Slot) -> RunTrial:
        inner = formula_worker(slot)

        def run_trial(trial: Trial) -> Iterator[Event]:
            told.say(f"trial {trial.trial_id}")
            if next(begun) >= free:
                told.wait()
            yield from inner(trial)

        return run_trial

    def on_news(news: object) -> None:
        if isinstance(news, RowWritten):
            told.say(f"row {news.row['trial_id']}")

    try:
        with StopRequest(grace=grace, say=told.say) as stop:
            search(
                config_of(trials),
                folder,
                execute=in_process(device="cpu"),
                start=start,
                on_news=on_news,
                open_run=partial(RunStore, segment_size=4),
                stop=stop,
            )
    except SearchStoppedError as stopped:
        told.say(stopped)
        sys.exit(stopped.exit_code)

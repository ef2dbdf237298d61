"""Seeded searches with every strategy, and what of them must stay as it is: each trial's ask and its row."""

import io
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from conftest import formula_worker
from rich.console import Console

from nas.config import SearchConfig
from nas.news import RowWritten
from nas.search import SearchResult, search
from nas.summary import summary_figures, summary_screen
from search_spaces.yaml_io import from_mapping
from trials.executors.in_process import in_process
from trials.executors.simulated import simulated
from trials.reward import Reward
from trials.store import RunStore
from trials.trial import Event, Execute, RunTrial, Slot, Trial, TrialResult


@dataclass(frozen=True)
class RecordedSearch:
    """A search whose trials are recorded, short enough that every processor chooses the same."""

    changes: Mapping[str, Any]
    workers: int = 1


@dataclass
class Interruption:
    """Ends a search, as a killed driver does, when that many of its rows are durable."""

    rows: int
    seen: int = field(default=0, init=False)

    def __call__(self, news: object) -> None:
        if isinstance(news, RowWritten):
            self.seen += 1
            if self.seen == self.rows:
                raise InterruptedError


RUNGS = {
    "epochs": 4, "batch_size": 64, "resolution": 16, "flip": False, "schedule": "constant",
    "averaging_decay": 0.9, "warmup_epochs": 0.5,
}  # fmt: skip
EVOLUTION = {"name": "evolution", "population": 8, "tournament": 3}
HALVING = {"name": "successive_halving", "min_epochs": 1, "eta": 2}
TWO_FINALISTS = {"count": 2, "repeats": 2}

SEARCHES = {
    "random_search": RecordedSearch({"strategy": "random_search", "budget": {"trials": 16}}),
    "random_search_bound_stopping": RecordedSearch(
        {"strategy": "random_search", "bound_stopping": {"max_accuracy": 0.9}}
    ),
    "evolution": RecordedSearch({"strategy": EVOLUTION, "budget": {"trials": 32}}),
    "evolution_finalists": RecordedSearch({"strategy": EVOLUTION, "finalists": TWO_FINALISTS}),
    "evolution_fixed_lag": RecordedSearch({"strategy": EVOLUTION, "order": {"fixed_lag": 4}}, workers=3),
    "policy_gradient": RecordedSearch(
        {"strategy": {"name": "policy_gradient", "batch": 4, "hidden": 8, "ppo_epochs": 2}}
    ),
    "predictor": RecordedSearch({"strategy": {"name": "predictor", "initial": 6}}),
    "predictor_fixed_lag_finalists": RecordedSearch(
        {
            "strategy": {"name": "predictor", "initial": 6},
            "order": {"fixed_lag": 3},
            "finalists": TWO_FINALISTS,
        },
        workers=2,
    ),
    "tpe": RecordedSearch({"strategy": {"name": "tpe", "startup": 6}}),
    "nsga2": RecordedSearch({"strategy": {"name": "nsga2", "population": 6}, "budget": {"trials": 26}}),
    "successive_halving": RecordedSearch(
        {
            "strategy": {**HALVING, "over": EVOLUTION},
            "recipe": RUNGS,
            "budget": {"trials": 32},
        }
    ),
    "successive_halving_over_random_search": RecordedSearch(
        {
            "strategy": {**HALVING, "over": {"name": "random_search"}},
            "recipe": RUNGS,
            "budget": {"epochs": 48},
            "finalists": TWO_FINALISTS,
        }
    ),
}


def config_of(recorded: RecordedSearch) -> SearchConfig:
    """Its configuration: a short search over the tiny space."""
    mapping: dict[str, Any] = {
        "space": "tiny",
        "data": {"source": "digits"},
        "recipe": {"epochs": 2, "batch_size": 64, "resolution": 16, "flip": False},
        "reward": {"step_time_ratio": -0.07, "params": -0.05},
        "baseline": 4,
        "budget": {"trials": 24},
        "seed": 5,
    }
    return from_mapping(SearchConfig, {**mapping, **recorded.changes}, name="search.yaml")


def eventful_worker(slot: Slot) -> RunTrial:
    """A worker whose trials compute a formula of their choices, and of which some fail or are lost.

    Step time and duration follow from the choices, too. A trial that cannot reach the reward which it has to
    beat ends early, as a real one does.
    """
    inner = formula_worker(slot)

    def run_trial(trial: Trial) -> Iterator[Event]:
        for event in inner(trial):
            yield _ending(event) if isinstance(event, TrialResult) else event

    return run_trial


def _ending(result: TrialResult) -> TrialResult:
    trial, total = result.trial, sum(result.trial.choices)
    measured, times = result.measurement, result.times
    assert measured is not None
    assert times is not None
    ratio = 0.5 + total / 16
    accuracy = measured.accuracy - 0.05 * (total % 4) / trial.epochs  # so that rankings change with epochs
    step_time = replace(measured.step_time, step_time_ratio=ratio)
    measured = replace(measured, accuracy=accuracy, step_time=step_time)
    own_epochs = trial.epochs - trial.epochs_before
    times = replace(times, train_seconds=float(own_epochs * (1 + total % 5)))
    result = replace(result, measurement=measured, times=times)
    nothing = replace(result, measurement=None, epochs=())
    if trial.trial_id % 11 == 6 and trial.attempt == 1:
        return replace(nothing, status="crashed", failure_kind="worker_lost", error="lost")
    if trial.trial_id % 13 == 7:
        return replace(nothing, status="crashed", failure_kind="bug", error="a bug")
    if total % 9 == 4:
        return replace(nothing, status="infeasible", failure_kind="out_of_memory", error="too large")
    if (stop := trial.stop_below) is not None:
        bound = replace(measured, accuracy=stop.max_accuracy)
        if Reward(stop.terms).of(bound.accuracy, bound.ratio_to_reference) < stop.reward:
            return replace(result, status="stopped", measurement=bound, epochs=())
    return result


def run_recorded(name: str, folder: Path, *, interrupted_after: int | None = None) -> SearchResult:
    """Runs a recorded search; first only up to so many rows and then on from there, if that is given."""
    recorded = SEARCHES[name]
    run = partial(
        search, config_of(recorded), folder, start=eventful_worker, open_run=partial(RunStore, segment_size=8)
    )

    def execute() -> Execute:
        return simulated(workers=recorded.workers) if recorded.workers > 1 else in_process(device="cpu")

    if interrupted_after is not None:
        with suppress(InterruptedError):
            run(execute=execute(), on_news=Interruption(interrupted_after))
    return run(execute=execute())


def search_record(result: SearchResult) -> list[dict[str, Any]]:
    """The record of a search: its end in figures and as a screen, then each trial."""
    rows = sorted(result.rows, key=lambda row: row["trial_id"])
    figures = summary_figures(result)
    end = {key: value for key, value in figures.items() if key != "run"}
    printed = io.StringIO()
    Console(file=printed, width=80, highlight=False).print(summary_screen(result))
    screen = [line.rstrip() for line in printed.getvalue().splitlines()]
    return [end, {"screen": screen}, *map(_trial, rows)]


def _trial(row: Mapping[str, Any]) -> dict[str, Any]:
    """An ask and its row without times, places and ids of hosts."""
    names = ("trial_id", "purpose", "choices", "epochs", "continues", "status", "failure_kind", "reward")
    return {
        **{name: row[name] for name in names},
        "step_time_ratio": row["step_time_ratio"],
        "architecture_id": row["architecture_id"],
        "seed": row["seed"],
        "aux": json.loads(row["aux"]),
    }

"""What a driver does for thousands of trials on a thousand workers of which some die: time, memory, views.

    python tests/benchmarks/scale.py [--trials 10000] [--workers 1000] [--lost 0.02] [--json FILE]

A whole search through the simulated executor, in simulated time: trials of a minute or two, of which each
attempt loses its worker with probability `lost`; everything is durable on the disk, as in a real search.
Prints milliseconds of a trial by tenths of the search, which should be flat, the memory held, and how long
rebuilding the views took. (Without the log: tests/benchmarks/simulation_speed.py.)
"""

import argparse
import json
import resource
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from engine_overhead import configuration, start_nothing

from nas.events import RowWritten
from nas.search.search import search
from trials.executors.simulated import simulated
from trials.log.store import RunStore
from trials.trial import Event, RunTrial, Slot, Trial, TrialResult, TrialTimes


class Unreliable:
    """Trials that end at once after one or two minutes of simulated time, and workers that die."""

    def __init__(self, lost: float) -> None:
        self.lost, self.losses = lost, 0

    def __call__(self, slot: Slot) -> RunTrial:
        run_nothing = start_nothing(slot)

        def run(trial: Trial) -> Iterator[Event]:
            rng = np.random.default_rng([trial.trial_id, trial.attempt])
            (event,) = run_nothing(trial)
            assert isinstance(event, TrialResult)
            times = TrialTimes(
                started_at="2026-01-01T00:00:00+00:00",
                finished_at="2026-01-01T00:00:00+00:00",
                train_seconds=float(rng.uniform(60, 120)),
            )
            if rng.random() < self.lost:
                self.losses += 1
                yield TrialResult(trial=trial, status="crashed", failure_kind="worker_lost", times=times)
                return
            yield replace(event, times=times)

        return run


def measured(arguments: argparse.Namespace) -> dict[str, Any]:
    """One search and its figures."""
    ends: list[float] = []
    views: list[float] = []
    rebuild = RunStore.refresh_views

    def timed(store: RunStore, **options: Any) -> None:
        before = time.perf_counter()
        was = store._views._written_at
        rebuild(store, **options)
        if store._views._written_at != was:
            views.append(time.perf_counter() - before)

    RunStore.refresh_views = timed  # type: ignore[method-assign]
    start = Unreliable(arguments.lost)
    with tempfile.TemporaryDirectory() as folder:
        search(
            configuration(arguments.trials),
            Path(folder) / "run",
            execute=simulated(workers=arguments.workers),
            start=start,
            on_event=lambda event: (
                ends.append(time.perf_counter()) if isinstance(event, RowWritten) else None
            ),
        )
    tenth = len(ends) // 10
    return {
        "trials": len(ends),
        "workers": arguments.workers,
        "losses": start.losses,
        "ms_by_tenths": [
            1000 * (ends[(i + 1) * tenth - 1] - ends[i * tenth]) / (tenth - 1) for i in range(10)
        ],
        "longest_view_ms": 1000 * max(views),
        "last_views_ms": 1000 * statistics.median(views[-len(views) // 10 :]),
        "max_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--lost", type=float, default=0.02)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    figures = measured(arguments)
    tenths = "  ".join(f"{value:.2f}" for value in figures["ms_by_tenths"])
    print(
        f"{figures['trials']:,} trials on {figures['workers']:,} workers, {figures['losses']} workers lost\n"
        f"ms of a trial by tenths: {tenths}\n"
        f"rebuilding the views: {figures['last_views_ms']:.0f} ms in the last tenth (median), "
        f"{figures['longest_view_ms']:.0f} ms at most; "
        f"memory {figures['max_rss_mb']:.0f} MB at most"
    )
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()

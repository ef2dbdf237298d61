"""What the engine costs a trial: trials that do nothing, through our workers and through Ray Tune.

    python tests/benchmarks/engine_overhead.py [--trials 1000] [--passes 3] [--json FILE]

Ours with the whole loop (random search, asks and rows durable on disk) and with the executor alone (nothing
written); Ray Tune with a class trainable and actor reuse, its logs in a temporary folder. Two slots each. The
first trials, in which workers start, are not counted: milliseconds are those of the trials after WARM_UP.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from nas.events import RowWritten
from nas.search.config import SearchConfig, read_search_config
from nas.search.search import search
from trials.executors.ray_actors import ray_actors
from trials.measurement import Measurement, StepTime
from trials.trial import DeviceInfo, Event, RunTrial, Slot, Trial, TrialResult, TrialTimes

WORKERS = 2
WARM_UP = 20


def start_nothing(slot: Slot) -> RunTrial:
    """A worker whose trials end at once, with a result of full size."""

    def run(trial: Trial) -> Iterator[Event]:
        step_time = StepTime(
            step_seconds=1.0, step_seconds_p10=1.0, step_seconds_p90=1.0, step_time_ratio=1.0,
            step_time_ratio_spread=0.0, reference_step_seconds=1.0, timing_seconds=0.0, device="none",
            resolution=32, batch_size=1, precision="none",
        )  # fmt: skip
        yield TrialResult(
            trial=trial,
            status="completed",
            measurement=Measurement(
                accuracy=0.5, accuracy_raw=0.5, accuracy_top5=0.9, minival_images=100, step_time=step_time,
                params=1000, macs=1000, reference_params=1000, reference_macs=1000, peak_memory_bytes=None,
            ),
            params=1000,
            macs=1000,
            device=DeviceInfo(device_name="none", device_id=str(slot.index), host="here"),
            times=TrialTimes(started_at="2026-01-01T00:00:00+00:00", finished_at="2026-01-01T00:00:00+00:00"),
        )  # fmt: skip

    return run


def configuration(trials: int) -> SearchConfig:
    """A random search of the paper's space."""
    return read_search_config(
        "efficientnetv2",
        overrides=["data.source=digits", f"budget.trials={trials}", "baseline=0"],
    )


def with_log(trials: int) -> float:
    """Milliseconds of a trial, everything durable."""
    ends: list[float] = []

    def note(event: object) -> None:
        if isinstance(event, RowWritten):
            ends.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        search(
            configuration(trials),
            Path(folder) / "run",
            execute=ray_actors(workers=WORKERS),
            start=start_nothing,
            on_event=note,
        )
    return 1000 * (ends[-1] - ends[WARM_UP]) / (len(ends) - 1 - WARM_UP)


def without_log(trials: int) -> float:
    """Milliseconds of a trial through the executor alone."""
    config = configuration(trials)
    todo = (
        Trial(
            trial_id=i, choices=(), architecture=config.space.reference, recipe=config.recipe,
            epochs=config.recipe.epochs, seed=i,
        )
        for i in range(trials)
    )  # fmt: skip
    ends = [
        time.perf_counter()
        for event in ray_actors(workers=WORKERS)(partial(start_nothing), todo)
        if isinstance(event, TrialResult)
    ]
    return 1000 * (ends[-1] - ends[WARM_UP]) / (len(ends) - 1 - WARM_UP)


def ray_tune(trials: int) -> float:
    """Milliseconds of a trial with Ray Tune, actors reused."""
    ends = _tune_ends(trials)
    return 1000 * (ends[-1] - ends[WARM_UP]) / (len(ends) - 1 - WARM_UP)


def _tune_ends(trials: int) -> list[float]:
    """When Tune heard of each trial's end."""
    import ray
    from ray import tune

    class Nothing(tune.Trainable):
        """Ends in its first step."""

        def setup(self, config: dict[str, Any]) -> None:
            pass

        def step(self) -> dict[str, Any]:
            return {"accuracy": 0.5, "done": True}

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            return True

        def save_checkpoint(self, checkpoint_dir: str) -> None:
            pass

    ends: list[float] = []

    class Note(tune.Callback):
        """Notes the time of each end."""

        def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
            ends.append(time.perf_counter())

    with tempfile.TemporaryDirectory(prefix="t-") as folder:
        ray.init(
            address="local",
            num_cpus=WORKERS,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="error",
            _temp_dir=folder,
        )
        try:
            tune.Tuner(
                Nothing,
                param_space={"x": tune.uniform(0, 1)},
                tune_config=tune.TuneConfig(
                    num_samples=trials, max_concurrent_trials=WORKERS, reuse_actors=True
                ),
                run_config=tune.RunConfig(name="nothing", storage_path=folder, verbose=0, callbacks=[Note()]),
            ).fit()
            return ends
        finally:
            ray.shutdown()


def main() -> None:
    """Prints milliseconds of a trial: median, lowest, highest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--tune-trials", type=int, default=1000)
    parser.add_argument("--passes", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    os.environ.setdefault("TUNE_DISABLE_STRICT_METRIC_CHECKING", "1")
    samples: dict[str, list[float]] = {"without log": [], "with log": [], "Ray Tune": []}
    for _ in range(arguments.passes):
        samples["without log"].append(without_log(arguments.trials))
        samples["with log"].append(with_log(arguments.trials))
        samples["Ray Tune"].append(ray_tune(arguments.tune_trials))
        print({name: round(values[-1], 2) for name, values in samples.items()}, flush=True)
    for name, values in samples.items():
        print(
            f"{name:<12} {statistics.median(values):8.2f} ms a trial ({min(values):.2f} - {max(values):.2f})"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps({"milliseconds": samples, **vars(arguments)}, default=str))


if __name__ == "__main__":
    main()

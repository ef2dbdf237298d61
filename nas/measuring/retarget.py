"""Step times of a run's best trials on another device: measured there, without training again."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from analysis.rungs import longest
from nas.search.best_file import architecture_of, classes_of
from nas.search.config import SearchConfig
from search_spaces.networks.architecture import Architecture
from search_spaces.settings.yaml_files import ConfigError, read_yaml
from trials.devices.device import available_slots, claim, device_info, is_out_of_memory, lock_of
from trials.log.durable_files import DurableFiles
from trials.log.store import recorded_trials
from trials.recipe import Recipe
from trials.reward import Reward, recorded_reward
from trials.timing.precision import resolve_precision
from trials.timing.step_time import measure_step_time
from trials.training.step import TrainingStep, build_step
from trials.training.synthetic_batch import SyntheticBatch
from trials.trial import StepTime

FOLDER = "retarget"  # in the run directory: one Parquet file for each device model
CONDITIONS = ("timing_resolution", "timing_batch_size", "timing_precision")
STEP_TIME = ("step_seconds", "step_time_ratio", "step_time_ratio_spread", "reference_step_seconds")
Row = dict[str, Any]


@dataclass(frozen=True)
class Retargeted:
    """A run's best trials with their step times on another device, the best by the new reward first."""

    run: Path
    device_name: str
    file: Path
    rows: list[Row]


def slug(device_name: str) -> str:
    """A device model's name as a file name."""
    return re.sub(r"[^a-z0-9]+", "-", device_name.lower()).strip("-")[:60] or "device"


def retarget(
    run: Path, *, top: int, on_progress: Callable[[int, int], object] = lambda done, total: None
) -> Retargeted:
    """Measures the step times of a run's `top` best trials on this machine's first device.

    Batch, resolution and precision are those of the search's `timing`, else the trials'. A trial that was
    measured under these conditions before is skipped, so that a stopped measurement goes on.

    Raises:
        ConfigError: no run, none of its trials has completed, or a reward that cannot be computed here.
    """
    rows = _best_rows(recorded_trials(run), top)
    if not rows:
        raise ConfigError(f"{run}: no trial has completed yet, so there is nothing to measure")
    config = read_yaml(SearchConfig, run / "search.yaml")
    reward = recorded_reward(config.reward, where=run)
    slot = available_slots()[0]
    device, info = claim(slot), device_info(slot)
    timer = _ReferenceTimer(config, device, num_classes=classes_of(rows[0]))
    file = run / FOLDER / f"{slug(info.device_name)}.parquet"
    known = {row["trial_id"]: row for row in _read(file) if timer.has_conditions_of(row)}
    for done, row in enumerate(rows):
        on_progress(done, len(rows))
        if row["trial_id"] in known:
            continue
        measured = timer.measure(architecture_of(row))
        known[row["trial_id"]] = {
            "trial_id": row["trial_id"],
            "architecture_id": row["architecture_id"],
            **measured,
            "timing_device": info.device_name,
            "measured_at": datetime.now(UTC),
        }
        file.parent.mkdir(exist_ok=True)
        frame = pd.DataFrame([known[trial_id] for trial_id in sorted(known)])
        DurableFiles().write(file, frame.to_parquet(index=False))
    on_progress(len(rows), len(rows))
    return Retargeted(run, info.device_name, file, _compared_in(run, rows, known, reward))


def retargeted(run: Path, device: str) -> list[Row]:
    """A run's rows with their rewards on a device where they were measured before.

    Raises:
        ConfigError: no run, nothing was measured on such a device, or a reward that cannot be computed here.
    """
    trials = recorded_trials(run)
    config = read_yaml(SearchConfig, run / "search.yaml")
    file = run / FOLDER / f"{slug(device)}.parquet"
    if not file.is_file():
        found = sorted(path.stem for path in (run / FOLDER).glob("*.parquet"))
        known = f"measured are {', '.join(found)}" if found else "none has been measured"
        raise ConfigError(
            f"{run}: no step times of '{device}'; {known}. There, type:  nas measure --run {run}"
        )
    known_rows = {row["trial_id"]: row for row in _read(file)}
    rows = [row for row in trials if row["trial_id"] in known_rows]
    return _compared_in(run, rows, known_rows, recorded_reward(config.reward, where=run))


def compared(rows: list[Row], measured: Mapping[int, Row], reward: Reward) -> list[Row]:
    """Figures of each row before and now, the best new reward first; None where memory was too small."""
    found = []
    for row in rows:
        now = measured[row["trial_id"]]
        ratio = now["step_time_ratio"]
        new = None
        if ratio is not None and ratio == ratio:
            new = reward.of_row({**row, **{name: now[name] for name in STEP_TIME if name in now}})
        found.append(
            {
                "trial_id": row["trial_id"],
                "accuracy": row["accuracy"],
                "params": row["params"],
                "reward_before": row["reward"],
                "reward": new,
                "step_time_ratio_before": row["step_time_ratio"],
                "step_time_ratio": ratio,
                "timing_flag": now["timing_flag"],
                "row": row,
            }
        )
    return sorted(found, key=lambda line: -(line["reward"] or 0.0))


def _compared_in(run: Path, rows: list[Row], measured: Mapping[int, Row], reward: Reward) -> list[Row]:
    """As `compared`; a reward that cannot be computed is a ConfigError that names the run."""
    try:
        return compared(rows, measured, reward)
    except ValueError as error:
        raise ConfigError(f"{run}: {error}") from None


def _best_rows(rows: list[Row], top: int) -> list[Row]:
    return sorted(longest(rows), key=lambda row: -(row["reward"] or 0.0))[:top]


def _read(file: Path) -> list[Row]:
    if not file.is_file():
        return []
    frame = pd.read_parquet(file)
    return [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]


class _ReferenceTimer:
    """Measures step times beside a run's reference network, under the run's conditions, on this device."""

    def __init__(self, config: SearchConfig, device: torch.device, *, num_classes: int) -> None:
        timing, recipe = config.timing, config.recipe
        self.recipe: Recipe = recipe
        self.device = device
        self.num_classes = num_classes
        self.resolution = timing.resolution or recipe.training_stages()[-1].resolution
        self.batch_size = timing.batch_size or recipe.batch_size
        self.precision = timing.precision or resolve_precision(
            recipe.precision, device, reference=config.space.reference, resolution=self.resolution
        )
        self.lock = lock_of(device)
        self.reference = self._step(config.space.reference)
        self.batch = SyntheticBatch.random(
            batch_size=self.batch_size, resolution=self.resolution, num_classes=num_classes, device=device
        )

    def has_conditions_of(self, row: Row) -> bool:
        """True of a row that was measured under these conditions."""
        return [row[name] for name in CONDITIONS] == [self.resolution, self.batch_size, self.precision]

    def _step(self, architecture: Architecture) -> TrainingStep:
        torch.manual_seed(0)
        return build_step(
            architecture,
            self.recipe,
            num_classes=self.num_classes,
            device=self.device,
            precision=self.precision,
        )

    def measure(self, architecture: Architecture) -> Row:
        """Columns of a step time; None where the network does not fit into memory."""
        conditions = dict(zip(CONDITIONS, (self.resolution, self.batch_size, self.precision), strict=True))
        try:
            with self.lock.timing():
                time: StepTime = measure_step_time(self._step(architecture), self.reference, self.batch)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            return {**dict.fromkeys(STEP_TIME), "timing_flag": "out of memory", **conditions}
        return {**{name: getattr(time, name) for name in STEP_TIME}, "timing_flag": time.flag, **conditions}

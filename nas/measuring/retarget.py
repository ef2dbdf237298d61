"""Step times of a run's best trials on another device: measured there, kept in the run, compared."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pandas as pd
import pyarrow as pa
import torch

from analysis.trial_rules import longest
from nas.measuring.figures import OUT_OF_MEMORY
from nas.search.best_file import architecture_of, classes_of
from nas.search.config import SearchConfig
from nas.search.own_ops import check_own_ops
from nas.search.recorded_config import recorded_config
from search_spaces.networks.architecture import Architecture
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.setting_errors import refused_as
from trials.devices.device import available_slots, claim, device_info, lock_of
from trials.devices.device_errors import is_out_of_memory
from trials.devices.memory_bound import bounded_on
from trials.devices.sharing import timing, training
from trials.log.file_names import RETARGET_FOLDER
from trials.log.row_types import TrialRow
from trials.log.row_types import measured as measured_in
from trials.log.run_places import files_of
from trials.log.run_reader import recorded_trials
from trials.log.tables import DamagedPartError, parquet_bytes, read_view
from trials.measurement import StepTime
from trials.reward import Reward, recorded_reward
from trials.timing.precision import precision_of_trials
from trials.timing.step_conditions import StepConditions
from trials.timing.step_time import TimedStep, measure_step_time


@dataclass(frozen=True, kw_only=True)
class TimedAgain:
    """A trial's step time on another device, a row of that device's file.

    The times are None where the network does not fit into memory there.
    """

    trial_id: int
    architecture_id: str
    step_seconds: float | None
    step_time_ratio: float | None
    step_time_ratio_spread: float | None
    reference_step_seconds: float | None
    timing_flag: str | None
    timing_resolution: int
    timing_batch_size: int
    timing_precision: str
    timing_device: str
    measured_at: datetime

    def step_time(self) -> dict[str, float | None]:
        """The columns of a trial's row that are other ones on this device."""
        return {
            "step_seconds": self.step_seconds,
            "step_time_ratio": self.step_time_ratio,
            "step_time_ratio_spread": self.step_time_ratio_spread,
            "reference_step_seconds": self.reference_step_seconds,
        }


@dataclass(frozen=True, kw_only=True)
class TrialBeforeAndNow:
    """A trial's figures before and now; now None where its network does not fit into memory."""

    trial_id: int
    accuracy: float
    params: int
    reward_before: float
    reward: float | None
    step_time_ratio_before: float
    step_time_ratio: float | None
    timing_flag: str | None


@dataclass(frozen=True, kw_only=True)
class RetargetedTrial(TrialBeforeAndNow):
    """A trial's figures before and now, and its architecture, whose new times are kept."""

    architecture_id: str


@dataclass(frozen=True)
class Retargeted:
    """A run's best trials with their step times on another device, the best by the new reward first."""

    run: Path
    device_name: str
    file: Path
    trials: tuple[RetargetedTrial, ...]


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
        ConfigError: no run, none of its trials has completed, a reward that cannot be computed here, or own
            ops that have changed or must not be imported.
    """
    rows = _best_rows(recorded_trials(run), top)
    if not rows:
        raise ConfigError(f"{run}: no trial has completed yet, so there is nothing to measure")
    config = recorded_config(run)
    check_own_ops(config, run)
    reward = recorded_reward(config.reward, where=run)
    slot = available_slots()[0]
    device, info = claim(slot), device_info(slot)
    timer = _TrialTimer(config, device, num_classes=classes_of(rows[0], run=run))
    file = run / RETARGET_FOLDER / f"{slug(info.device_name)}.parquet"
    known = {found.trial_id: found for found in _read(file) if timer.has_conditions_of(found)}
    with training(timer.lock):  # as while a trial is built; each network is timed alone
        for done, row in enumerate(rows):
            on_progress(done, len(rows))
            if row["trial_id"] in known:
                continue
            known[row["trial_id"]] = timer.timed_again(row, device_name=info.device_name)
            _write(file, known)
    on_progress(len(rows), len(rows))
    return Retargeted(run, info.device_name, file, _compared_in(run, rows, known, reward))


def retargeted(run: Path, device: str) -> tuple[RetargetedTrial, ...]:
    """A run's trials with the rewards they have on a device where they were measured before.

    Raises:
        ConfigError: no run, nothing was measured on such a device, or a reward that cannot be computed here.
    """
    rows = recorded_trials(run)
    config = recorded_config(run)
    file = run / RETARGET_FOLDER / f"{slug(device)}.parquet"
    if not file.is_file():
        found = sorted(path.stem for path in (run / RETARGET_FOLDER).glob("*.parquet"))
        known = f"measured are {', '.join(found)}" if found else "none has been measured"
        raise ConfigError(
            f"{run}: no step times of '{device}'; {known}. There, type:  nas measure --run {run}"
        )
    measured = {found.trial_id: found for found in _read(file)}
    rows = [row for row in rows if row["trial_id"] in measured]
    return _compared_in(run, rows, measured, recorded_reward(config.reward, where=run))


def ratios_by_device(run: Path) -> dict[str, dict[str, float]]:
    """Step times over the reference's that were measured in a run later, by device and architecture_id.

    Raises:
        ConfigError: a file of them is damaged.
    """
    found: dict[str, dict[str, float]] = {}
    for file in sorted((run / RETARGET_FOLDER).glob("*.parquet")):
        for row in _read(file):
            if row.step_time_ratio is not None:
                found.setdefault(row.timing_device, {})[row.architecture_id] = row.step_time_ratio
    return found


def compared(
    rows: Sequence[TrialRow], measured: Mapping[int, TimedAgain], reward: Reward
) -> tuple[RetargetedTrial, ...]:
    """The trials of these rows before and now, the best new reward first."""
    found = []
    for row in rows:
        now = measured[row["trial_id"]]
        fits = now.step_time_ratio is not None
        found.append(
            RetargetedTrial(
                trial_id=row["trial_id"],
                architecture_id=row["architecture_id"],
                accuracy=measured_in(row, "accuracy"),
                params=int(measured_in(row, "params")),
                reward_before=measured_in(row, "reward"),
                reward=reward.of_row(cast(TrialRow, {**row, **now.step_time()})) if fits else None,
                step_time_ratio_before=measured_in(row, "step_time_ratio"),
                step_time_ratio=now.step_time_ratio,
                timing_flag=now.timing_flag,
            )
        )
    return tuple(sorted(found, key=lambda trial: -(trial.reward or 0.0)))


def _compared_in(
    run: Path, rows: Sequence[TrialRow], measured: Mapping[int, TimedAgain], reward: Reward
) -> tuple[RetargetedTrial, ...]:
    """Calls `compared`; a reward that cannot be computed becomes a ConfigError that names the run."""
    with refused_as(run):
        return compared(rows, measured, reward)


def _best_rows(rows: list[TrialRow], top: int) -> list[TrialRow]:
    return sorted(longest(rows), key=lambda row: -(row["reward"] or 0.0))[:top]


def _read(file: Path) -> list[TimedAgain]:
    if not file.is_file():
        return []
    names = [field.name for field in fields(TimedAgain)]
    try:
        frame = read_view(file.read_bytes())[0].to_pandas()
    except DamagedPartError as error:
        raise ConfigError(f"{file}: damaged ({error}); move it away, and measure again") from None
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from None
    rows = frame.reindex(columns=names).to_dict("records")
    return [TimedAgain(**{str(name): _known(value) for name, value in row.items()}) for row in rows]


def _known(value: Any) -> Any:
    """A cell's value; None where it is empty."""
    return None if pd.isna(value) else value


def _write(file: Path, known: Mapping[int, TimedAgain]) -> None:
    files = files_of(file.parent.parent)
    files.make_folder(file.parent)
    frame = pd.DataFrame([asdict(known[trial_id]) for trial_id in sorted(known)])
    table = pa.Table.from_pandas(frame, preserve_index=False)
    files.write(file, parquet_bytes(table, is_short=False))


class _TrialTimer:
    """Measures step times beside a run's reference network, under the run's conditions, on this device."""

    def __init__(self, config: SearchConfig, device: torch.device, *, num_classes: int) -> None:
        wanted, recipe = config.timing, config.recipe
        self.conditions = StepConditions(
            recipe=recipe,
            precision=precision_of_trials(
                wanted.precision_for(recipe), recipe, device, reference=config.space.reference
            ).precision,
            num_classes=num_classes,
            resolution=wanted.resolution_for(recipe),
            batch_size=wanted.batch_size_for(recipe),
            device=device,
        )
        self.lock = lock_of(device)
        self.batch = self.conditions.batch()
        self.reference = TimedStep(self.conditions.step(config.space.reference), self.batch)

    def has_conditions_of(self, found: TimedAgain) -> bool:
        """True if a step time was measured under this timer's conditions."""
        own = self.conditions
        conditions = (found.timing_resolution, found.timing_batch_size, found.timing_precision)
        return conditions == (own.resolution, own.batch_size, own.precision)

    def timed_again(self, row: TrialRow, *, device_name: str) -> TimedAgain:
        """The step time of a trial's architecture here."""
        time = self.measure(architecture_of(row))
        return TimedAgain(
            trial_id=row["trial_id"],
            architecture_id=row["architecture_id"],
            step_seconds=time.step_seconds if time else None,
            step_time_ratio=time.step_time_ratio if time else None,
            step_time_ratio_spread=time.step_time_ratio_spread if time else None,
            reference_step_seconds=time.reference_step_seconds if time else None,
            timing_flag=time.flag if time else OUT_OF_MEMORY,
            timing_resolution=self.conditions.resolution,
            timing_batch_size=self.conditions.batch_size,
            timing_precision=self.conditions.precision,
            timing_device=device_name,
            measured_at=datetime.now(UTC),
        )

    def measure(self, architecture: Architecture) -> StepTime | None:
        """The step time of a network; None where it does not fit into memory."""
        try:
            with bounded_on(self.conditions.device):
                own = TimedStep(self.conditions.step(architecture), self.batch).prepare()
                reference = self.reference.prepare()
                with timing(self.lock):
                    return measure_step_time(own, reference, self.batch)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            return None


# ---------------------------------------------------------------------- as JSON


@dataclass(frozen=True, kw_only=True)
class PrintedTrials:
    """A run's best trials on another device, the best by the new reward first."""

    run: str
    device: str
    file: str
    trials: tuple[TrialBeforeAndNow, ...]


def retargeted_json(result: Retargeted) -> PrintedTrials:
    """The result for --json."""
    columns = [
        {name: value for name, value in vars(trial).items() if name != "architecture_id"}
        for trial in result.trials
    ]
    return PrintedTrials(
        run=str(result.run),
        device=result.device_name,
        file=str(result.file),
        trials=tuple(TrialBeforeAndNow(**each) for each in columns),
    )

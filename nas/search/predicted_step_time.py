"""A search's table of block times: frozen in its run, used for limits, or instead of measuring."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from analysis.rank_correlation import kendall_tau
from nas.search.config import SearchConfig
from search_spaces.choices.choice_space import ChoiceSpace
from search_spaces.networks.architecture import Architecture
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.setting_errors import blaming, refused_as
from trials.devices.device import available_slots, device_info
from trials.log.file_names import TABLE_FILE
from trials.log.row_types import TrialRow
from trials.log.rows import architecture_from_json
from trials.log.store import RunStore
from trials.measurement import StepTime
from trials.timing.block_fit import Fit, fit_table
from trials.timing.block_table import BlockTable, TableConditions, check_table, read_table, table_text
from trials.timing.block_times import table_conditions
from trials.timing.precision import precision_of_trials
from trials.training.step import kernels_of_steps

PLACE = ("step_time_table",)  # in a search file
ERROR_BARS = 2  # a network may be so many standard errors faster than predicted, where it will be measured
P10_P90 = 1.2816  # standard errors from the median


@dataclass(frozen=True)
class PredictionError:
    """Error of predicted step times against those that trials measured."""

    networks: int
    mean: float  # of |predicted / measured - 1|
    within_error_bars: float  # share of networks within two standard errors
    tau: float | None  # Kendall's tau-b, of the order; None where networks do not differ, or there is one


@dataclass(frozen=True)
class Prediction:
    """A table in a search. `replaces_measuring`: trials take the prediction for their step time."""

    table: BlockTable
    replaces_measuring: bool

    @cached_property
    def fit(self) -> Fit:
        """Fit of the table: seconds of each block."""
        return fit_table(self.table)

    def keep(self, store: RunStore) -> None:
        """Writes the table into the run directory, from where a continued run reads it."""
        store.write_text(TABLE_FILE, table_text(self.table))

    def estimate(self, architecture: Architecture) -> tuple[float, float]:
        """The step time ratio, and the least that it may turn out to be."""
        ratio, error = self.fit.predict(architecture)
        return ratio, ratio if self.replaces_measuring else ratio - ERROR_BARS * error

    def step_time(self, architecture: Architecture) -> StepTime | None:
        """Step time that stands for a measured one in a trial; None where trials measure."""
        if not self.replaces_measuring:
            return None
        ratio, error = self.fit.predict(architecture)
        conditions, unit = self.table.conditions, self.table.reference_seconds
        return StepTime(
            step_seconds=ratio * unit,
            step_seconds_p10=(ratio - P10_P90 * error) * unit,
            step_seconds_p90=(ratio + P10_P90 * error) * unit,
            step_time_ratio=ratio,
            step_time_ratio_spread=2 * P10_P90 * error / ratio,
            reference_step_seconds=unit,
            timing_seconds=0.0,
            device=conditions.device_name,
            resolution=conditions.resolution,
            batch_size=conditions.batch_size,
            precision=conditions.precision,
            source="predicted",
        )

    def error(self, rows: Sequence[TrialRow]) -> PredictionError | None:
        """The error against a run's rows that measured step time on the table's device; None without any."""
        measured = {
            row["architecture_id"]: row
            for row in rows
            if row["timing_source"] == "measured"
            and row["timing_device"] == self.table.conditions.device_name
            and row["timing_flag"] is None
            and row["status"] != "cached"
        }
        if not measured:
            return None
        predicted = [self.fit.predict(architecture_from_json(r["architecture"])) for r in measured.values()]
        found = np.array([row["step_time_ratio"] for row in measured.values()])
        ratios, errors = np.array(predicted).T
        tau = kendall_tau(ratios.tolist(), found.tolist())
        return PredictionError(
            networks=len(found),
            mean=float(np.mean(np.abs(ratios / found - 1))),
            within_error_bars=float(np.mean(np.abs(ratios - found) <= ERROR_BARS * errors)),
            tau=None if math.isnan(tau) else tau,
        )


def open_prediction(
    config: SearchConfig, run: Path | None, *, num_classes: int, on_this_device: bool
) -> Prediction | None:
    """The search's table, of a run that is continued the copy in it; None if the search has none.

    Args:
        run: the directory of a run that is continued.
        on_this_device: trials measure on devices like this machine's. Where they do not measure at all the
            table's own device counts.

    Raises:
        SettingError: the table cannot be read, is for something else, or nothing is within the limits by it.
    """
    if config.step_time_table is None:
        return None
    frozen = run / TABLE_FILE if run is not None else None
    path = frozen if frozen is not None and frozen.is_file() else Path(config.step_time_table)
    with blaming(PLACE):
        return _prediction_of(
            path, config, num_classes=num_classes, on_this_device=on_this_device, frozen=path == frozen
        )


def check_table_file(config: SearchConfig) -> None:
    """Refuses a file that holds no table, before images are opened.

    Raises:
        SettingError: it cannot be read.
    """
    if config.step_time_table is None:
        return
    with blaming(PLACE):
        read_table(Path(config.step_time_table))


def _prediction_of(
    path: Path, config: SearchConfig, *, num_classes: int, on_this_device: bool, frozen: bool
) -> Prediction:
    """The prediction by the table of a file, which is checked."""
    table = read_table(path)
    counts = config.timing.device
    if counts is not None and table.conditions.device_name != counts:
        raise ConfigError(
            f"{path}: it was measured on '{table.conditions.device_name}', and "
            f"timing.device says that step time counts on '{counts}'; make the table there with "
            "nas measure --table"
        )
    replaces_measuring = config.step_time == "predicted"
    checks_device = on_this_device and not replaces_measuring
    wanted = _wanted_conditions(config, table, num_classes=num_classes, checks_device=checks_device)
    if frozen:  # its run goes on with the kernels that it began with
        wanted = replace(wanted, kernels=table.conditions.kernels)
    check_table(table, wanted, name=str(path))
    prediction = Prediction(table, replaces_measuring)
    with refused_as(path):
        searched_space(config, prediction, num_classes=num_classes).sample(np.random.default_rng(0))
    return prediction


def searched_space(config: SearchConfig, prediction: Prediction | None, *, num_classes: int) -> ChoiceSpace:
    """The space as the search's strategy sees it, with all that is known before training."""
    return config.space.choice_space(
        num_classes=num_classes,
        resolution=config.recipe.last_resolution,
        step_time=prediction.estimate if prediction is not None else None,
    )


def _wanted_conditions(
    config: SearchConfig, table: BlockTable, *, num_classes: int, checks_device: bool
) -> TableConditions:
    """Conditions of the search's trials; the device's own only where trials measure on it."""
    timing, recipe = config.timing, config.recipe
    precision: str = timing.precision_for(recipe)
    device_name, kernels = table.conditions.device_name, table.conditions.kernels
    if checks_device:
        slot = available_slots()[0]
        device_name = device_info(slot).device_name
        device = torch.device(slot.device)
        precision = precision_of_trials(
            timing.precision_for(recipe),
            recipe,
            device,
            reference=config.space.reference,
        ).precision
        kernels = kernels_of_steps(device, precision)
    wanted = table_conditions(
        config.space,
        recipe,
        device_name=device_name,
        precision=table.conditions.precision if precision == "auto" else precision,
        batch_size=timing.batch_size_for(recipe),
        resolution=timing.resolution_for(recipe),
        num_classes=num_classes,
        kernels=kernels,
    )
    return wanted if checks_device else replace(wanted, torch=table.conditions.torch)

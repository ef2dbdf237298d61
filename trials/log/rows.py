"""Rows of the log from asks and results; asks, outcomes, times and architectures from rows."""

import json
import math
from collections.abc import Mapping
from datetime import datetime
from itertools import chain, repeat
from typing import Any, cast

from search_spaces.networks.architecture import Architecture
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.json_text import json_value
from search_spaces.settings.yaml_files import from_mapping, to_mapping
from trials.log.recorded import (
    INFERENCE_TIME_COLUMNS,
    MEASUREMENT_COLUMNS,
    STEP_TIME_COLUMNS,
    TRAINED,
    Recorded,
)
from trials.log.row_types import AskRow, EpochRow, TrialRow, annotations_of, number_of
from trials.log.schema import ASK_NAMES, SCHEMA_VERSION, TRIAL_SCHEMA, WORK, WORK_SECONDS
from trials.measurement import UNMEASURED_RATIO, InferenceTime, Measurement, StepTime, size_ratio
from trials.objective import curve_of, objective_of
from trials.trial import Ask, EpochResult, Outcome, TrialResult

MAX_ERROR = 2_000  # characters
UNRECORDED = -1  # the place of an ask or row that the store has not put in order yet

# The columns that a cached row repeats of the equal trial's. Durations are not: they were not spent again.
REPEATED = tuple(
    name
    for name, (_, meaning) in annotations_of(TrialRow).items()
    if name not in ASK_NAMES and not meaning.own
)


def ask_row(ask: Ask, *, architecture: Architecture, strategy: str, seed: int, asked_at: datetime) -> AskRow:
    """The row of an ask, UNRECORDED: the store gives it its place in the order."""
    return {
        "trial_id": ask.trial_id,
        "ask_seq": UNRECORDED,
        "purpose": ask.purpose,
        "continues": ask.continues,
        "architecture_id": architecture.architecture_id,
        "choices": list(ask.choices),
        "architecture": architecture_json(architecture),
        "strategy": strategy,
        "aux": json.dumps(dict(ask.aux), sort_keys=True, allow_nan=False),
        "seed": seed,
        "epochs": ask.epochs,
        "asked_at": asked_at,
        "schema_version": SCHEMA_VERSION,
    }


def ask_columns(row: TrialRow) -> AskRow:
    """The row of an ask, whose columns its trial's row repeats."""
    columns: Mapping[str, object] = {name: value for name, value in row.items() if name in ASK_NAMES}
    return cast(AskRow, columns)


def epoch_row(result: EpochResult) -> EpochRow:
    """The row of an epoch."""
    return {
        "trial_id": result.trial_id,
        "attempt": result.attempt,
        "epoch": result.epoch,
        "train_loss": result.train_loss,
        "train_accuracy": result.train_accuracy,
        "minival_loss": result.minival_loss,
        "minival_accuracy": result.minival_accuracy,
        "minival_accuracy_raw": result.minival_accuracy_raw,
        "learning_rate": result.learning_rate,
        "resolution": result.resolution,
        "train_seconds": result.train_seconds,
        "evaluate_seconds": result.evaluate_seconds,
        "schema_version": SCHEMA_VERSION,
        "minival_balanced_accuracy": result.minival_balanced_accuracy,
    }


def trial_row(asked: AskRow, result: TrialResult, *, reward: float | None, environment_id: str) -> TrialRow:
    """The row of a trial that has ended, UNRECORDED: the columns of its ask, and everything measured."""
    recipe = result.trial.recipe
    balanced = [epoch.minival_balanced_accuracy for epoch in result.epochs]
    row: dict[str, object] = {
        **asked,
        "status": result.status,
        "objective": result.trial.objective,
        "failure_kind": result.failure_kind,
        "reward": reward,
        "params": result.params,
        "macs": result.macs,
        "train_loss": [epoch.train_loss for epoch in result.epochs],
        "minival_accuracy": [epoch.minival_accuracy for epoch in result.epochs],
        "minival_balanced_accuracy": None if None in balanced else balanced,  # an older checkpoint's epochs
        "resolution": recipe.training_stages(result.trial.epochs)[-1].resolution,
        "batch_size": recipe.batch_size,
        "micro_batches": result.micro_batches,
        "precision": result.precision,
        "precision_reason": result.precision_reason,
        "training_mode": result.training_mode,
        "kernels": result.kernels,
        "attempts": result.attempt,
        "environment_id": environment_id,
        "error": result.error[-MAX_ERROR:] if result.error else None,
    }
    if result.measurement is not None:
        measured = result.measurement
        known = {column: getattr(measured, name) for name, column in MEASUREMENT_COLUMNS.items()}
        if result.status != "completed":  # it has only a bound of what training shows
            known = {column: value for column, value in known.items() if column not in TRAINED}
        row |= known
    step_time = result.measurement.step_time if result.measurement else result.step_time
    row["timing_flag"] = _timing_flag(step_time, result.inference_time)
    if step_time is not None:
        row |= {column: getattr(step_time, name) for name, column in STEP_TIME_COLUMNS.items()}
    if (inference_time := result.inference_time) is not None:
        row |= {column: getattr(inference_time, name) for name, column in INFERENCE_TIME_COLUMNS.items()}
    if result.device is not None:
        row |= vars(result.device)
    if result.times is not None:
        times = result.times
        row |= {
            "started_at": datetime.fromisoformat(times.started_at),
            "finished_at": datetime.fromisoformat(times.finished_at),
            **{name: getattr(times, name) for name in WORK_SECONDS},
            "waiting_seconds": times.waiting_seconds,
        }
    return _whole(row)


def _whole(known: Mapping[str, object]) -> TrialRow:
    """A trial's row of what is known of it, UNRECORDED: all columns in their order, the others None."""
    assert not known.keys() - set(TRIAL_SCHEMA.names), "these are columns"
    row: Mapping[str, object] = {
        **dict.fromkeys(TRIAL_SCHEMA.names),
        **known,
        "tell_seq": UNRECORDED,
        "schema_version": SCHEMA_VERSION,
    }
    return cast(TrialRow, row)


def step_time_from_row(row: TrialRow) -> StepTime | None:
    """The step time of an earlier trial of the same network; None if it was not measured."""
    if row["step_time_ratio"] is None or row["timing_device"] is None:
        return None
    recorded: dict[str, Any] = {name: row.get(column) for name, column in STEP_TIME_COLUMNS.items()}
    return StepTime(
        **{
            **recorded,
            "source": recorded["source"] or "measured",  # older rows lack it
            "is_exclusive": bool(recorded["is_exclusive"]),
        },
        flag=row["timing_flag"],
        timing_seconds=0.0,  # it cost this trial nothing
    )


def _timing_flag(step_time: StepTime | None, inference_time: InferenceTime | None) -> str | None:
    flags = [step_time.flag] if step_time is not None else []
    if inference_time is not None and inference_time.flag:
        flags.append(f"inference: {inference_time.flag}")
    return "; ".join(filter(None, flags)) or None


def cached_row(asked: AskRow, earlier: TrialRow) -> TrialRow:
    """The row of an ask that an equal trial has answered before, UNRECORDED."""
    return _whole({**asked, "status": "cached", **{name: earlier.get(name) for name in REPEATED}})


def ask_from_row(row: AskRow | TrialRow) -> Ask:
    """The ask of an ask's row, or of a trial's."""
    return Ask(
        trial_id=row["trial_id"],
        choices=tuple(row["choices"]),
        epochs=row["epochs"],
        continues=row["continues"],
        purpose=row["purpose"],
        aux=_of_json(row["aux"], "aux"),
    )


def device_seconds(row: TrialRow) -> float:
    """Seconds that a row's trial held its device; 0 if it was cached, for it ran nowhere."""
    return sum(seconds_by_work(row).values())


def seconds_by_work(row: TrialRow) -> dict[str, float]:
    """The seconds of a row's trial for each kind of WORK."""
    ran = row["status"] != "cached"
    return {kind: float(number_of(row, f"{kind}_seconds") or 0.0) if ran else 0.0 for kind in WORK}


def outcome_of(row: TrialRow) -> Outcome | None:
    """The outcome that a strategy is told; a quantity that was not measured is worse than any that was.

    None of a trial that crashed, which says nothing about its architecture.
    """
    if row["status"] == "crashed":
        return None
    params = UNMEASURED_RATIO
    if row["params"] and row["reference_params"]:
        params = size_ratio(cast(Measurement, Recorded(row.get)))
    return Outcome(
        status=row["status"],
        reward=_finite(row["reward"], 0.0),
        accuracy=_finite(objective_of(row), 0.0),
        step_time_ratio=_finite(row["step_time_ratio"], UNMEASURED_RATIO),
        params=params,
        curve=tuple(_finite(value, 0.0) for value in curve_of(row)),
    )


def _finite(value: float | None, otherwise: float) -> float:
    return otherwise if value is None or not math.isfinite(value) else value


def architecture_json(architecture: Architecture) -> str:
    """The architecture as JSON, the same mapping as its YAML."""
    return json.dumps(to_mapping(architecture.without_provenance()), sort_keys=True)


def architecture_from_json(text: str) -> Architecture:
    """The architecture of a row."""
    return from_mapping(Architecture, _of_json(text, "architecture"), name="architecture column")


def _of_json(text: str, column: str) -> Any:
    """The value in a column of JSON.

    Raises:
        ConfigError: it is none, though the row is sealed: another program wrote it.
    """
    try:
        return json_value(text)
    except ValueError as error:
        raise ConfigError(f"{column} column: not as this program writes it ({error})") from None


def epochs_from_curves(row: TrialRow) -> list[EpochRow]:
    """The epochs of a completed trial, as far as its row's curves have them; none of others."""
    if row["status"] != "completed":
        return []
    balanced = chain(row.get("minival_balanced_accuracy") or (), repeat(None))  # older rows lack it
    curves = zip(row["train_loss"] or (), row["minival_accuracy"] or (), balanced, strict=False)
    return [
        {
            "trial_id": row["trial_id"],
            "attempt": row["attempts"] or 1,
            "epoch": epoch,
            "train_loss": loss,
            "train_accuracy": None,
            "minival_loss": None,
            "minival_accuracy": accuracy,
            "minival_accuracy_raw": None,
            "learning_rate": None,
            "resolution": None,
            "train_seconds": None,
            "evaluate_seconds": None,
            "schema_version": row["schema_version"],
            "minival_balanced_accuracy": recall,
        }
        for epoch, (loss, accuracy, recall) in enumerate(curves, start=1)
    ]

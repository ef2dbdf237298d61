"""Rows of the log from asks and results, and asks and outcomes from rows."""

import json
import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from search_spaces.architecture import Architecture
from search_spaces.yaml_io import from_mapping, to_mapping
from trials.trial import UNMEASURED_RATIO, Ask, InferenceTime, Outcome, StepTime, TrialResult

MAX_ERROR = 2_000  # characters

# Of an equal trial's row: what a cached row repeats. Its durations are not spent again.
REPEATED = (
    "reward", "accuracy", "accuracy_raw", "accuracy_top5", "minival_images", "step_seconds",
    "step_seconds_p10", "step_seconds_p90", "step_time_ratio", "step_time_ratio_spread",
    "reference_step_seconds", "timing_flag",
    "params", "macs", "peak_memory_bytes", "train_loss", "minival_accuracy", "resolution", "batch_size",
    "micro_batches", "precision", "device_name", "device_id", "host", "timing_device", "timing_resolution",
    "timing_batch_size", "timing_precision", "timing_source", "reference_params", "reference_macs",
    "inference_seconds", "inference_time_ratio", "inference_time_ratio_spread", "reference_inference_seconds",
    "inference_batch_size", "environment_id", "failure_kind", "timing_exclusive",
    "step_time_ratio_error", "timing_clock_mhz",
)  # fmt: skip


def ask_row(
    ask: Ask, *, architecture: Architecture, strategy: str, seed: int, asked_at: datetime
) -> dict[str, Any]:
    """An ask's row, but for its place in the order, which the store gives it."""
    return {
        "trial_id": ask.trial_id,
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
    }


def trial_row(
    asked: Mapping[str, Any], result: TrialResult, *, reward: float | None, environment_id: str
) -> dict[str, Any]:
    """The row of a trial that has ended: its ask's columns and all that was measured."""
    recipe = result.trial.recipe
    row: dict[str, Any] = {
        **asked,
        "status": result.status,
        "failure_kind": result.failure_kind,
        "reward": reward,
        "params": result.params,
        "macs": result.macs,
        "train_loss": [epoch.train_loss for epoch in result.epochs],
        "minival_accuracy": [epoch.minival_accuracy for epoch in result.epochs],
        "resolution": recipe.training_stages(result.trial.epochs)[-1].resolution,
        "batch_size": recipe.batch_size,
        "micro_batches": result.micro_batches,
        "precision": result.precision,
        "attempts": result.attempt,
        "environment_id": environment_id,
        "error": result.error[-MAX_ERROR:] if result.error else None,
    }
    if result.measurement is not None:
        measured = result.measurement
        if result.status == "completed":  # of a stopped one only a bound is known
            row |= {
                "accuracy": measured.accuracy,
                "accuracy_raw": measured.accuracy_raw,
                "accuracy_top5": measured.accuracy_top5,
            }
        row |= {
            "minival_images": measured.minival_images,
            "params": measured.params,
            "macs": measured.macs,
            "peak_memory_bytes": measured.peak_memory_bytes,
            "reference_params": measured.reference_params,
            "reference_macs": measured.reference_macs,
        }
    step_time = result.measurement.step_time if result.measurement else result.step_time
    row["timing_flag"] = _timing_flag(step_time, result.inference_time)
    if step_time is not None:
        row |= _timing_columns(step_time)
    if result.inference_time is not None:
        row |= _inference_columns(result.inference_time)
    if result.device is not None:
        row |= vars(result.device)
    if result.times is not None:
        times = result.times
        row |= {
            "started_at": datetime.fromisoformat(times.started_at),
            "finished_at": datetime.fromisoformat(times.finished_at),
            "build_seconds": times.build_seconds,
            "timing_seconds": times.timing_seconds,
            "train_seconds": times.train_seconds,
            "evaluate_seconds": times.evaluate_seconds,
            "waiting_seconds": times.waiting_seconds,
        }
    return row


def _timing_columns(step_time: StepTime) -> dict[str, Any]:
    return {
        "step_seconds": step_time.step_seconds,
        "step_seconds_p10": step_time.step_seconds_p10,
        "step_seconds_p90": step_time.step_seconds_p90,
        "step_time_ratio": step_time.step_time_ratio,
        "step_time_ratio_spread": step_time.step_time_ratio_spread,
        "reference_step_seconds": step_time.reference_step_seconds,
        "timing_device": step_time.device,
        "timing_resolution": step_time.resolution,
        "timing_batch_size": step_time.batch_size,
        "timing_precision": step_time.precision,
        "timing_source": step_time.source,
        "step_time_ratio_error": step_time.step_time_ratio_error,
        "timing_exclusive": step_time.is_exclusive,
        "timing_clock_mhz": step_time.clock_mhz,
    }


def step_time_from_row(row: Mapping[str, Any]) -> StepTime | None:
    """What was measured for an earlier trial of the same network; None if nothing was."""
    if row["step_time_ratio"] is None or row["timing_device"] is None:
        return None
    return StepTime(
        step_seconds=row["step_seconds"],
        step_seconds_p10=row["step_seconds_p10"],
        step_seconds_p90=row["step_seconds_p90"],
        step_time_ratio=row["step_time_ratio"],
        step_time_ratio_spread=row["step_time_ratio_spread"],
        reference_step_seconds=row["reference_step_seconds"],
        timing_seconds=0.0,  # it cost this trial nothing
        device=row["timing_device"],
        resolution=row["timing_resolution"],
        batch_size=row["timing_batch_size"],
        precision=row["timing_precision"],
        flag=row["timing_flag"],
        source=row["timing_source"] or "measured",
        step_time_ratio_error=row["step_time_ratio_error"],
        clock_mhz=row["timing_clock_mhz"],
        is_exclusive=bool(row["timing_exclusive"]),
    )


def _timing_flag(step_time: StepTime | None, inference_time: InferenceTime | None) -> str | None:
    flags = [step_time.flag] if step_time is not None else []
    if inference_time is not None and inference_time.flag:
        flags.append(f"inference: {inference_time.flag}")
    return "; ".join(filter(None, flags)) or None


def _inference_columns(inference_time: InferenceTime) -> dict[str, Any]:
    return {
        "inference_seconds": inference_time.inference_seconds,
        "inference_time_ratio": inference_time.inference_time_ratio,
        "inference_time_ratio_spread": inference_time.inference_time_ratio_spread,
        "reference_inference_seconds": inference_time.reference_inference_seconds,
        "inference_batch_size": inference_time.batch_size,
    }


def cached_row(asked: Mapping[str, Any], earlier: Mapping[str, Any]) -> dict[str, Any]:
    """The row of an ask that an equal trial has answered before."""
    return {**asked, "status": "cached", **{name: earlier.get(name) for name in REPEATED}}


def ask_from_row(row: Mapping[str, Any]) -> Ask:
    """The ask of a row of either kind."""
    return Ask(
        trial_id=row["trial_id"],
        choices=tuple(row["choices"]),
        epochs=row["epochs"],
        continues=row["continues"],
        purpose=row["purpose"],
        aux=json.loads(row["aux"]),
    )


def outcome_from_row(row: Mapping[str, Any]) -> Outcome:
    """What a strategy is told of a row; what was not measured is told as worse than anything measured."""
    params = UNMEASURED_RATIO
    if row["params"] and row["reference_params"]:
        params = row["params"] / row["reference_params"]
    return Outcome(
        status=row["status"],
        reward=_finite(row["reward"], 0.0),
        accuracy=_finite(row["accuracy"], 0.0),
        step_time_ratio=_finite(row["step_time_ratio"], UNMEASURED_RATIO),
        params=params,
        curve=tuple(_finite(accuracy, 0.0) for accuracy in row.get("minival_accuracy") or ()),
    )


def ratio_to_reference(row: Mapping[str, Any], name: str) -> float:
    """A rewardable quantity of a row over its reference network's."""
    value = row[name] if name.endswith("_ratio") else row[name] / row[f"reference_{name}"]
    return float(value)


def _finite(value: float | None, otherwise: float) -> float:
    return otherwise if value is None or not math.isfinite(value) else value


def architecture_json(architecture: Architecture) -> str:
    """The architecture as JSON, the same mapping as its YAML."""
    return json.dumps(to_mapping(architecture.without_provenance()), sort_keys=True)


def architecture_from_json(text: str) -> Architecture:
    """The architecture of a row."""
    return from_mapping(Architecture, json.loads(text), name="architecture column")

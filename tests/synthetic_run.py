"""Run directories whose rows are computed, not trained: for tests and timings of what reads runs."""

import json
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from nas.config import SearchConfig
from search_spaces.yaml_io import from_mapping, yaml_text
from trials.log_schema import EPOCH_SCHEMA, TRIAL_SCHEMA
from trials.rows import architecture_json

START = datetime(2026, 3, 1, 8, tzinfo=UTC)
REFERENCE_PARAMS = 4_000_000
IMAGES = 5_000


def synthetic_config(**changes: Any) -> SearchConfig:
    """A search of the cifar space."""
    mapping: dict[str, Any] = {
        "space": "cifar",
        "data": {"source": "digits"},
        "recipe": {"epochs": 4, "batch_size": 64, "resolution": 32},
        "strategy": {"name": "evolution", "population": 20, "tournament": 5},
        "reward": {"step_time_ratio": -0.07, "params": -0.05},
        "baseline": 20,
        "budget": {"trials": 200},
        "finalists": {"count": 4, "repeats": 3},
    }
    return from_mapping(SearchConfig, {**mapping, **changes}, name="search.yaml")


def synthetic_rows(
    config: SearchConfig, count: int, *, seed: int = 0, workers: int = 4
) -> list[dict[str, Any]]:
    """Rows of `count` counted trials and of the finalists' repeats; rewards rise as a strategy's would."""
    rng = np.random.default_rng(seed)
    space, choice_space = config.space, config.space.choice_space()
    found: list[tuple[float, tuple[int, ...]]] = []
    plan: list[tuple[str, tuple[int, ...]]] = []
    for i in range(count):
        choices = choice_space.sample(rng)
        if i >= config.baseline:
            parents = sorted(found)[-20:]
            parent = max((parents[j] for j in rng.integers(0, len(parents), 3)), key=lambda known: known[0])
            options = choice_space.neighbours(parent[1])
            choices = options[int(rng.integers(0, len(options)))] if options else choices
        purpose = "baseline" if i < config.baseline else "search"
        plan.append((purpose, choices))
        found.append((_accuracy(choices) + rng.normal(0, 0.004), choices))
    best = [choices for _, choices in sorted(found, reverse=True)]
    finalists = list(dict.fromkeys(best))[: config.finalists.count if config.finalists else 0]
    repeats = config.finalists.repeats if config.finalists else 0
    plan += [("repeat", choices) for choices in finalists for _ in range(repeats)]
    free = [0.0] * workers
    rows = []
    for i, (purpose, choices) in enumerate(plan):
        architecture = space.decode(choices)
        row = _row(i, purpose, choices, rng, config)
        slot = int(np.argmin(free))
        begin = free[slot]
        seconds = sum(row[f"{k}_seconds"] for k in ("build", "timing", "train", "evaluate"))
        free[slot] = begin + seconds + 0.5
        row |= {
            "architecture": architecture_json(architecture),
            "architecture_id": architecture.architecture_id,
            "device_id": str(slot),
            "asked_at": START + timedelta(seconds=begin),
            "started_at": START + timedelta(seconds=begin),
            "finished_at": START + timedelta(seconds=begin + seconds),
        }
        rows.append(row)
    return rows


def _accuracy(choices: tuple[int, ...]) -> float:
    value = sum(math.sin(3 * i + 2 * choice) for i, choice in enumerate(choices)) / math.sqrt(len(choices))
    return 0.75 + 0.08 * math.tanh(value / 2)


def _row(
    number: int, purpose: str, choices: tuple[int, ...], rng: np.random.Generator, config: SearchConfig
) -> dict[str, Any]:
    size = 0.4 + 0.08 * sum(choices)
    params, step = int(REFERENCE_PARAMS * size), 0.5 + 0.45 * size + 0.1 * (choices[0] if choices else 0)
    accuracy = float(np.clip(_accuracy(choices) + rng.normal(0, 0.004), 0.01, 0.99))
    ratios = {"step_time_ratio": step, "params": params / REFERENCE_PARAMS, "macs": size}
    reward = accuracy * math.prod(ratios[name] ** power for name, power in config.reward.items())
    infeasible = purpose == "search" and number % 37 == 36
    row: dict[str, Any] = {
        "trial_id": number, "ask_seq": 2 * number, "tell_seq": 2 * number + 1, "purpose": purpose,
        "status": "infeasible" if infeasible else "completed",
        "failure_kind": "out_of_memory" if infeasible else None,
        "reward": 0.0 if infeasible else reward, "choices": list(choices),
        "params": params, "macs": int(1e8 * size), "strategy": "evolution", "aux": "{}", "seed": number,
        "epochs": config.recipe.epochs, "resolution": 32, "batch_size": 64, "micro_batches": 1,
        "precision": "bf16", "device_name": "Imaginary GPU", "host": "node-a", "attempts": 1,
        "build_seconds": 0.4, "timing_seconds": 1.0, "train_seconds": 0.0 if infeasible else 30 * size,
        "evaluate_seconds": 0.0 if infeasible else 1.5, "waiting_seconds": 0.0,
        "reference_params": REFERENCE_PARAMS, "reference_macs": 100_000_000, "environment_id": "e" * 16,
        "schema_version": 1, "error": "CUDA out of memory" if infeasible else None,
    }  # fmt: skip
    if not infeasible:
        curve = [accuracy * (1 - 0.5 ** (epoch + 1)) for epoch in range(config.recipe.epochs)]
        row |= {
            "accuracy": accuracy, "accuracy_raw": accuracy - 0.01, "accuracy_top5": 0.99,
            "minival_images": IMAGES, "train_loss": [1 - x for x in curve], "minival_accuracy": curve,
            "step_seconds": 0.02 * step, "step_seconds_p10": 0.0198 * step, "step_seconds_p90": 0.0203 * step,
            "step_time_ratio": step, "step_time_ratio_spread": 0.01 + 0.01 * rng.random(),
            "step_time_ratio_error": 0.003, "reference_step_seconds": 0.02,
            "timing_flag": "spread" if number % 51 == 50 else None, "timing_device": "Imaginary GPU",
            "timing_resolution": 32, "timing_batch_size": 64, "timing_precision": "bf16",
            "timing_source": "measured", "timing_exclusive": True,
        }  # fmt: skip
    return row


def write_run(
    folder: Path, count: int = 120, *, config: SearchConfig | None = None, seed: int = 0
) -> list[dict[str, Any]]:
    """A run directory as a finished search leaves it, but for the log's parts; its rows."""
    config = config or synthetic_config(budget={"trials": count})
    rows = synthetic_rows(config, count, seed=seed)
    for name in ("log/asks", "log/trials", "log/epochs", "environment"):
        (folder / name).mkdir(parents=True)
    (folder / "search.yaml").write_text(yaml_text(config))
    write_rows(folder / "trials.parquet", rows)
    epochs = [
        {"trial_id": row["trial_id"], "attempt": 1, "epoch": i + 1, "minival_accuracy": accuracy}
        for row in rows
        for i, accuracy in enumerate(row.get("minival_accuracy") or [])
    ]
    pq.write_table(pa.Table.from_pylist(epochs, schema=EPOCH_SCHEMA), folder / "epochs.parquet")
    facts = {"environment_id": "e" * 16, "python": "3.12", "packages": {"torch": "2.9"}, "host": "node-a"}
    facts |= {"command": ["nas", "search", "cifar10"], "started_at": START.isoformat(), "gpus": []}
    (folder / "environment" / "0001.json").write_text(json.dumps(facts))
    return rows


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """Rows as a run's view of trials."""
    full = [{name: row.get(name) for name in TRIAL_SCHEMA.names} for row in rows]
    pq.write_table(pa.Table.from_pylist(full, schema=TRIAL_SCHEMA), path, compression="zstd")

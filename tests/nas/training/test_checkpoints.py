"""States of a full training: written, read, and completed where an earlier version wrote them."""

from dataclasses import asdict
from pathlib import Path

import pandas as pd
import torch
from training_states import PROGRESS, metrics

from nas.training.checkpoints import METRICS, STATES, TrainingFolder
from trials.training.weights_file import save_tensors


def test_progress_and_metrics_are_read_as_they_were_written(tmp_path: Path) -> None:
    files = TrainingFolder(tmp_path)
    files.create()
    files.metrics.append(metrics())
    files.save_state({"w": torch.ones(2)}, PROGRESS, files.metrics)
    files.save_metrics()
    again = TrainingFolder(tmp_path)
    found = again.newest_state()
    assert found is not None
    assert found[0]["w"].tolist() == [1, 1]
    assert found[1] == PROGRESS
    assert again.metrics == [metrics()]
    assert pd.read_parquet(tmp_path / METRICS).columns.tolist() == list(asdict(metrics()))


def test_a_state_of_an_earlier_version_is_completed(tmp_path: Path) -> None:
    files = TrainingFolder(tmp_path)
    files.create()
    facts, row = asdict(PROGRESS), asdict(metrics())
    for name in ("best_resolution", "devices", "evaluate_every", "batch_size", "threads"):
        del facts[name]
    for name in ("train_resolution", "data_seconds"):
        del row[name]
    path = tmp_path / STATES / "epoch-000001.safetensors"
    save_tensors(path, {"w": torch.ones(1)}, {**facts, "metrics": [row]})
    found = files.newest_state()
    assert found is not None
    assert (found[1].best_resolution, found[1].devices) == (0, 1)
    assert (found[1].evaluate_every, found[1].batch_size, found[1].threads) == (1, 0, 0)
    assert files.metrics == [metrics(train_resolution=16, data_seconds=0.0)]


def test_half_written_files_of_a_training_are_swept_and_others_left(tmp_path: Path) -> None:
    files = TrainingFolder(tmp_path / "train")
    files.create()
    assert f"{files.folder.stat().st_mode & 0o777:o}" == "700"
    left = files.folder / "weights" / ".best.safetensors.12.0123abcd.tmp"
    left.write_bytes(b"half")
    kept = files.folder / "weights" / ".notes"
    kept.write_text("mine")
    files.sweep()
    assert not left.exists()
    assert kept.exists()

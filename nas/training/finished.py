"""Figures of full trainings that have ended, from the file that each writes last."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from search_spaces.settings.json_records import read_record
from trials.objective import ACCURACY, Objective

RESULT = "result.json"  # in the training's folder


@dataclass(frozen=True, kw_only=True)
class FinishedTraining:
    """A training that has ended. Accuracies are 0-1, of the weights that were best on minival."""

    epochs: int  # that were trained
    best_epoch: int  # from 1
    accuracy: float  # on minival
    test_accuracy: float | None  # None where there are no test images
    test_images: int | None
    seconds: float  # training and evaluating, over all its processes
    stopped_early: bool
    device_name: str
    precision: str
    threads: int  # of the CPU
    objective: Objective = ACCURACY  # by which the weights were best
    value: float | None = None  # of another objective than accuracy, on minival
    test_value: float | None = None  # likewise, on the test images
    devices: int = 1
    packages: Mapping[str, str | None] = field(default_factory=dict)  # versions; None: not installed

    @property
    def final_value(self) -> float:
        """The objective on the test images, where there are some; else on minival."""
        if self.objective == ACCURACY:
            return self.accuracy if self.test_accuracy is None else self.test_accuracy
        value = self.value if self.test_value is None else self.test_value
        assert value is not None, "it was measured where it was the objective"
        return value


def finished_training(folder: Path) -> FinishedTraining | None:
    """The figures of the training in this folder; None if it has not ended.

    Raises:
        ConfigError: they do not read.
    """
    return read_record(
        folder / RESULT,
        _training_of,
        if_damaged="remove it; the same command then evaluates the training's weights again",
    )


def _training_of(record: dict[str, Any]) -> FinishedTraining:
    test = record["test"] or {}
    objective = record.get("objective", ACCURACY)  # earlier versions had no other
    is_other = objective != ACCURACY
    return FinishedTraining(
        epochs=record["epochs"],
        best_epoch=record["best_epoch"],
        accuracy=float(record["accuracy"]),
        test_accuracy=test.get("accuracy"),
        test_images=test.get("images"),
        seconds=float(record["seconds"]),
        stopped_early=record["stopped_early"],
        device_name=record["device_name"],
        precision=record["precision"],
        threads=record["threads"],
        objective=objective,
        value=record[objective] if is_other else None,
        test_value=test.get(objective) if is_other else None,
        devices=record.get("devices", 1),
        packages=(record.get("environment") or {}).get("packages") or {},
    )

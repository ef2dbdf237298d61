"""Result of a full training."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nas.events import EpochMetrics
from nas.training.checkpoints import TrainingFolder
from nas.training.evaluation import Evaluation, EvaluationFigures
from trials.log.run_places import place_of
from trials.objective import Objective, value_of


@dataclass(frozen=True)
class TrainingResult:
    """State of a training that has ended."""

    folder: Path
    metrics: tuple[EpochMetrics, ...]
    best_epoch: int  # from 1
    accuracy: float  # of the best weights on minival
    balanced_accuracy: float | None  # likewise; None: the epoch is of an earlier version
    objective: Objective
    test: Evaluation | None
    seconds: float  # training and evaluating, over all its processes
    estimated_seconds: float
    stopped_early: bool

    @property
    def objective_value(self) -> float:
        """The objective on minival, which was best at this epoch."""
        return value_of(self, self.objective)

    @property
    def final_value(self) -> float:
        """The objective on the test images, where there are some; else on minival."""
        return value_of(self.test or self, self.objective)


def facts_of(result: TrainingResult) -> dict[str, Any]:
    """The figures of a result that a training's folder keeps (`nas.training.finished` reads them)."""
    return {
        "epochs": result.metrics[-1].epoch,
        "best_epoch": result.best_epoch,
        "accuracy": result.accuracy,
        "balanced_accuracy": result.balanced_accuracy,
        "objective": result.objective,
        "seconds": result.seconds,
        "estimated_seconds": result.estimated_seconds,
        "stopped_early": result.stopped_early,
        "test": asdict(result.test.figures()) if result.test else None,
    }


@dataclass(frozen=True, kw_only=True)
class TrainingFigures:
    """A result for --json."""

    run: str
    epochs: int
    best_epoch: int
    accuracy: float
    balanced_accuracy: float | None
    objective: Objective
    test: EvaluationFigures | None
    seconds: float
    estimated_seconds: float
    stopped_early: bool
    weights: str


def training_figures(result: TrainingResult) -> TrainingFigures:
    """The figures of a result."""
    return TrainingFigures(
        run=place_of(result.folder),
        epochs=result.metrics[-1].epoch,
        best_epoch=result.best_epoch,
        accuracy=result.accuracy,
        balanced_accuracy=result.balanced_accuracy,
        objective=result.objective,
        test=result.test.figures() if result.test else None,
        seconds=result.seconds,
        estimated_seconds=result.estimated_seconds,
        stopped_early=result.stopped_early,
        weights=place_of(TrainingFolder(result.folder).weights("best")),
    )

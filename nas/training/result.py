"""Result of a full training."""

from dataclasses import dataclass
from pathlib import Path

from nas.events import EpochMetrics
from nas.training.checkpoints import TrainingFolder
from nas.training.evaluation import Evaluation, EvaluationFigures
from trials.log.buckets import place_of


@dataclass(frozen=True)
class TrainingResult:
    """State of a training that has ended."""

    folder: Path
    metrics: tuple[EpochMetrics, ...]
    best_epoch: int  # from 1
    accuracy: float  # of the best weights on minival
    test: Evaluation | None
    seconds: float  # training and evaluating, over all its processes
    estimated_seconds: float
    stopped_early: bool

    @property
    def final_accuracy(self) -> float:
        """Accuracy on the test images, where there are some; else on minival."""
        return self.test.accuracy if self.test else self.accuracy


@dataclass(frozen=True, kw_only=True)
class TrainingFigures:
    """A result for --json."""

    run: str
    epochs: int
    best_epoch: int
    accuracy: float
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
        test=result.test.figures() if result.test else None,
        seconds=result.seconds,
        estimated_seconds=result.estimated_seconds,
        stopped_early=result.stopped_early,
        weights=place_of(TrainingFolder(result.folder).weights("best")),
    )

"""Events of a full training."""

from dataclasses import dataclass
from pathlib import Path

from nas.events import EpochDone
from nas.training.estimate import Estimating, StageEstimate
from nas.training.initial_weights import Fitted
from trials.objective import ACCURACY, Objective
from trials.recipe import ResolutionSchedule
from trials.training.train import Heartbeat


@dataclass(frozen=True)
class TrainingBegun:
    """A training begins, or goes on; its stages with their estimates."""

    device_name: str
    precision: str
    precision_reason: str
    micro_batches: int
    epochs: int
    first_epoch: int  # above 0: it is resumed
    source: str  # of the images
    train_images: int
    minival_images: int
    stages: tuple[StageEstimate, ...]
    fitted: Fitted | None  # of the initial weights
    damaged: tuple[Path, ...]  # states that could not be used
    processes: tuple[int, ...] = ()  # of each device, where they are several
    schedule: ResolutionSchedule = "progressive"
    devices_before: int = 1  # where it was begun, or last gone on with
    notes: tuple[str, ...] = ()  # about the images
    is_over: bool = False  # it had ended before, so that nothing is left to train
    objective: Objective = ACCURACY  # by which the best epoch is chosen
    decisions: tuple[str, ...] = ()  # sentences about what the training itself has decided


TrainingEvent = Estimating | TrainingBegun | Heartbeat | EpochDone

"""The evaluation of a training's best weights for its card, kept in its folder: confusion and calibration.

On the test images of the training where it has some, else on its minival images. It is computed once, while
the images are there, and holds for the weights and the images whose digests it names.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np

from nas.training.calibration import BINS, Calibration
from nas.training.checkpoints import TrainingFolder
from nas.training.config import TrainingConfig
from nas.training.evaluation import Evaluation, evaluate_images, inference_device
from nas.training.start import images_to_test
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.json_records import read_record
from search_spaces.settings.setting_errors import refused_as
from trials.devices.device import device_info
from trials.images.data_record import OF_TEST, check_same_data, read_facts, record_of
from trials.images.packed import OnProgress, TrialImages
from trials.images.recipe_images import evaluated_images, trained_images
from trials.log.run_places import files_of
from trials.training.weights_file import WeightsFile, load_weights
from trials.trial import Slot

FILE = "evaluation.json"  # in the training's folder
Part = Literal["test", "minival"]


@dataclass(frozen=True, kw_only=True)
class KeptEvaluation:
    """An evaluation with its conditions. It has a calibration."""

    part: Part
    evaluation: Evaluation
    device_name: str
    evaluated_at: str  # UTC, ISO 8601

    @property
    def calibration(self) -> Calibration:
        """The calibration of the probabilities."""
        assert self.evaluation.calibration is not None
        return self.evaluation.calibration


class OtherImagesError(ConfigError):
    """The images are there, and are not those of the training."""


@contextmanager
def _others_refused() -> Iterator[None]:
    try:
        yield
    except ConfigError as error:
        raise OtherImagesError(str(error)) from None


def part_of(config: TrainingConfig) -> Part:
    """The part of the images on which a training's card evaluates its weights."""
    return "minival" if config.test is None else "test"


def kept_evaluation(folder: Path, config: TrainingConfig, weights: WeightsFile) -> KeptEvaluation | None:
    """The evaluation that the folder keeps of these weights on its images; None where it keeps none.

    Raises:
        ConfigError: it does not read.
    """
    expected = _holds_for(folder, config)

    def read(record: dict[str, Any]) -> KeptEvaluation | None:
        return _kept(record, weights) if record["holds_for"] == expected else None

    return read_record(folder / FILE, read, if_damaged="remove it; the same command computes it again")


def evaluated_now(
    folder: Path,
    config: TrainingConfig,
    *,
    keep: bool = True,
    on_packed: OnProgress | None = None,
    on_evaluated: Callable[[int, int], object] = lambda done, total: None,
) -> KeptEvaluation:
    """Evaluates a finished training's best weights on its test or minival images.

    Args:
        keep: the evaluation is written into the folder; where that cannot be written, the next card computes
            it again.

    Raises:
        ConfigError: the images are not there, or not those of the training.
    """
    files = TrainingFolder(folder)
    weights = load_weights(files.weights("best"), files=files.files)
    images = _images(folder, config, weights, on_packed)
    evaluation = evaluate_images(weights, images, on_progress=on_evaluated)
    found = KeptEvaluation(
        part=part_of(config),
        evaluation=evaluation,
        device_name=device_info(Slot(index=0, device=str(inference_device()))).device_name,
        evaluated_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    if keep:
        text = json.dumps({"holds_for": _holds_for(folder, config), **evaluation_record(found)})
        with suppress(OSError):
            files_of(folder).write(folder / FILE, text.encode())
    return found


def evaluation_record(found: KeptEvaluation) -> dict[str, Any]:
    """An evaluation as JSON values; of the confusion matrix the entries that are not 0."""
    evaluation, calibration = found.evaluation, found.calibration
    labels, predictions = np.nonzero(evaluation.confusion)
    pairs = zip(labels, predictions, evaluation.confusion[labels, predictions], strict=True)
    return {
        "part": found.part,
        "device_name": found.device_name,
        "evaluated_at": found.evaluated_at,
        "resolution": evaluation.resolution,
        "accuracy_top5": evaluation.accuracy_top5,
        "loss": evaluation.loss,
        "confusion": [[int(each) for each in pair] for pair in pairs],  # label, prediction, images
        "calibration": [list(each) for each in vars(calibration).values()],
    }


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def text_digest(text: str) -> str:
    """SHA-256 of a text in UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()


def _holds_for(folder: Path, config: TrainingConfig) -> dict[str, str | None]:
    """Digests of the weights and of the images that an evaluation is of."""
    part = part_of(config)
    facts = read_facts(folder, prefix=OF_TEST if part == "test" else "")
    return {
        "weights": file_digest(TrainingFolder(folder).weights("best")),
        "part": part,
        "images": None if facts is None else facts.digest,
        "split": None if facts is None else facts.split_digest,
    }


def _images(
    folder: Path, config: TrainingConfig, weights: WeightsFile, on_packed: OnProgress | None
) -> TrialImages:
    size = weights.resolution
    if config.test is not None:
        found = images_to_test(config, weights.classes, resolution=size)
        assert found is not None
        with _others_refused():
            check_same_data(record_of(config.test, found), folder, begun="training", prefix=OF_TEST)
        return found
    with refused_as("images"):
        last = config.recipe.training_stages()[-1].resolution
        trained = trained_images(config.data, config.recipe, last, on_progress=on_packed)
    with _others_refused():
        check_same_data(record_of(config.data.source, trained), folder, begun="training")
        if trained.classes != weights.classes:
            raise ConfigError("images: their classes are not those of the weights")
    with refused_as("images"):
        minival = evaluated_images(config.data, config.recipe, trained, size, on_progress=on_packed)
    return replace(minival, train=np.empty(0, np.int64))  # what is evaluated is minival alone


def _kept(record: dict[str, Any], weights: WeightsFile) -> KeptEvaluation:
    classes = weights.num_classes
    confusion = np.zeros((classes, classes), np.int64)
    for label, prediction, count in record["confusion"]:
        if not (0 <= label < classes and 0 <= prediction < classes and count > 0):
            raise ValueError("no such class")
        confusion[label, prediction] = count
    counts, confidence, accuracy = map(tuple, record["calibration"])
    images = int(confusion.sum())
    if {len(counts), len(confidence), len(accuracy)} != {BINS} or sum(counts) != images or not images:
        raise ValueError("bins of other images")
    if record["part"] not in ("test", "minival"):
        raise ValueError("no such part")
    return KeptEvaluation(
        part=record["part"],
        evaluation=Evaluation(
            images=images,
            resolution=int(record["resolution"]),
            accuracy=float(np.trace(confusion)) / images,
            accuracy_top5=float(record["accuracy_top5"]),
            loss=float(record["loss"]),
            classes=weights.classes,
            confusion=confusion,
            calibration=Calibration(counts, confidence, accuracy),
        ),
        device_name=str(record["device_name"]),
        evaluated_at=str(record["evaluated_at"]),
    )

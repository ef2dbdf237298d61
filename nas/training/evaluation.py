"""Evaluation of trained weights on labelled images: accuracy, top five, each class, confusion."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch

from analysis.standard_error import standard_error
from nas.training.calibration import Calibration, CalibrationCounter
from search_spaces.networks.resolutions import check_resolution
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.sentences import some
from search_spaces.settings.setting_errors import refused_as
from trials.augmentation.augment import to_input
from trials.devices.arithmetic import autocast
from trials.devices.device import available_slots, lock_of, use_all_cores
from trials.devices.device_lock import DeviceLock
from trials.devices.sharing import give_way, training
from trials.images.batches import batches
from trials.images.config import DataConfig
from trials.images.decode import MAX_PIXELS, TOO_LARGE
from trials.images.device_images import ResidentImages
from trials.images.labels import PADDING
from trials.images.packed import TrialImages, open_images
from trials.objective import mean_recall
from trials.pictures import PictureView
from trials.training.loss import are_correct, counted_labels, cross_entropy
from trials.training.weights_file import WeightsFile

BATCH = 256
LEFT_OUT = 0.999  # share of unreadable pictures up to which the others are evaluated, and these named


@dataclass(frozen=True)
class EvaluationFigures:
    """An evaluation without its confusion matrix, for --json. Accuracies are 0-1."""

    images: int
    resolution: int
    accuracy: float
    standard_error: float
    accuracy_top5: float
    balanced_accuracy: float  # mean of the classes' own
    loss: float
    per_class: dict[str, float | None]  # None of a class without images


@dataclass(frozen=True)
class Evaluation:
    """Results of weights on some images. Accuracies are 0-1."""

    images: int
    resolution: int
    accuracy: float
    accuracy_top5: float
    loss: float
    classes: tuple[str, ...]
    confusion: np.ndarray  # (K, K) int64: rows are labels, columns predictions
    calibration: Calibration | None = None  # None: nobody has counted it

    @property
    def standard_error(self) -> float:
        """Standard error of the accuracy, by the number of images alone."""
        return standard_error(self.accuracy, self.images)

    @property
    def balanced_accuracy(self) -> float:
        """Mean of the accuracies of all classes that have images."""
        return mean_recall(np.diag(self.confusion), self.confusion.sum(axis=1))

    def accuracy_of(self, label: int) -> float | None:
        """Accuracy on the images of one class; None where there are none."""
        total = int(self.confusion[label].sum())
        return float(self.confusion[label, label]) / total if total else None

    def figures(self) -> EvaluationFigures:
        """The evaluation without the confusion matrix."""
        return EvaluationFigures(
            images=self.images,
            resolution=self.resolution,
            accuracy=self.accuracy,
            standard_error=self.standard_error,
            accuracy_top5=self.accuracy_top5,
            balanced_accuracy=self.balanced_accuracy,
            loss=self.loss,
            per_class={name: self.accuracy_of(i) for i, name in enumerate(self.classes)},
        )


class Options(NamedTuple):
    """Options with which a user names images to evaluate on, for messages."""

    source: str
    max_pixels: str


def with_option(sentence: str, option: str = "--max-pixels") -> str:
    """A sentence about unreadable pictures, with the option that raises the limit if some are too large."""
    return f"{sentence}; {option} raises the limit" if TOO_LARGE in sentence else sentence


def labelled_images(
    source: str, weights: WeightsFile, *, resolution: int, max_pixels: int | None = None
) -> TrialImages:
    """All images of a source, with their labels in the order of the weights' classes.

    Args:
        resolution: pixels of a side.
        max_pixels: the most pixels of a picture that is read; None: the default.

    Raises:
        ConfigError: the source cannot be read, or its classes are not those of the weights.
    """
    trained = tuple(weights.facts.get("classes") or ())
    images = images_to_evaluate(
        source,
        trained,
        resolution=resolution,
        view=weights.view(resolution),
        max_pixels=max_pixels or MAX_PIXELS,
        options=Options("--data", "--max-pixels"),
    )
    if trained:
        return images
    # Nobody has named the weights' classes: numbers are theirs; names stand in order if there are as many.
    if set(_present(images)) <= set(weights.classes):
        return _in_order_of(images, weights.classes)
    if images.num_classes != weights.num_classes:
        raise ConfigError(
            f"--data: {source}: has {images.num_classes:,} classes, and these weights, which do not name "
            f"theirs, tell {weights.num_classes:,} apart; number them as the weights do, from 0, or evaluate "
            "on all"
        )
    return images


def images_to_evaluate(
    source: str,
    trained: tuple[str, ...],
    *,
    resolution: int,
    view: PictureView,
    max_pixels: int,
    options: Options,
) -> TrialImages:
    """All images of a source, with their labels in the order of these classes, if there are any.

    Raises:
        ConfigError: the source cannot be read, or its classes are not among those.
    """
    if not source:
        raise ConfigError(f"{options.source}: names no images")
    data = DataConfig(source=source, max_corrupt=LEFT_OUT, max_pixels=max_pixels)
    try:
        images = open_images(data, resolution=resolution, verify=True, only_evaluated=True, view=view)
    except ValueError as error:
        raise ConfigError(f"{options.source}: {with_option(str(error), options.max_pixels)}") from error
    if not trained or images.classes == trained:
        return images
    if unknown := [name for name in _present(images) if name not in trained]:
        raise ConfigError(
            f"{options.source}: {source}: its classes are not those that are trained on: {unknown[0]!r} is "
            f"none of {some(trained, most=10)}{images.deeper}"
        )
    return _in_order_of(images, trained)


def _present(images: TrialImages) -> list[str]:
    """Names of the classes that have images."""
    return [images.classes[label] for label in np.setdiff1d(images.labels, [PADDING])]


def _in_order_of(images: TrialImages, classes: tuple[str, ...]) -> TrialImages:
    """The images with the labels of these classes; one that only the source names need not be known."""
    places = {name: i for i, name in enumerate(classes)}
    order = np.array([places.get(name, PADDING) for name in images.classes])
    labels = np.where(images.labels == PADDING, PADDING, order[images.labels])
    return replace(images, labels=labels, classes=classes)


def evaluation_resolution(weights: WeightsFile, given: int | None) -> int:
    """The given resolution (pixels), by default the one that the weights were evaluated at in training.

    Raises:
        ConfigError: it is too small for the network.
    """
    size = given or weights.resolution
    with refused_as("--resolution"):
        check_resolution(weights.architecture, size)
    return size


def evaluate_images(
    weights: WeightsFile,
    images: TrialImages,
    *,
    on_progress: Callable[[int, int], object] = lambda done, total: None,
    lock: DeviceLock | None = None,
) -> Evaluation:
    """Evaluates weights on images, all those that can be read.

    The device is shared as by a training: whoever times something on it goes first. Any label of an image
    with several is correct. Its row in the confusion matrix is the one that was predicted or, where that is
    none of its labels, the first.

    Args:
        lock: of the device, held by the caller; None: it is held here.
    """
    device = inference_device()
    if lock is None:
        with training(lock_of(device)) as own:
            return evaluate_images(weights, images, on_progress=on_progress, lock=own)
    network = weights.network().to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.eval()
    resident = ResidentImages(images, device)
    chosen = torch.from_numpy(np.sort(np.concatenate([images.train, images.minival])))  # whatever the split
    classes = weights.num_classes
    confusion = torch.zeros(classes * classes, dtype=torch.int64, device=device)
    sums = torch.zeros(2, dtype=torch.float64, device=device)  # of losses, of top-five hits
    calibration = CalibrationCounter(device)
    done = 0
    for batch in batches(resident, chosen, batch_size=BATCH):
        with torch.inference_mode(), autocast("fp32", device):
            logits = network(to_input(batch.images)).float()
        labels = batch.labels.long()
        sums[0] += cross_entropy(logits, labels, reduction="sum")
        top = logits.topk(min(5, classes), dim=1).indices
        correct = are_correct(top, labels)  # (B, 5)
        sums[1] += correct.any(1).sum()
        calibration.add(logits, correct[:, 0])
        # One pair of label and prediction for each image, counted as one number.
        rows = counted_labels(labels, top[:, 0], correct[:, 0])
        confusion += torch.bincount(rows * classes + top[:, 0], minlength=classes * classes)
        done += len(labels)
        on_progress(done, len(chosen))
        give_way(lock)
    matrix = confusion.view(classes, classes).cpu().numpy()
    loss, top5 = (sums / len(chosen)).tolist()
    return Evaluation(
        images=len(chosen),
        resolution=resident.resolution,
        accuracy=float(np.trace(matrix)) / len(chosen),
        accuracy_top5=top5,
        loss=loss,
        classes=weights.classes,
        confusion=matrix,
        calibration=calibration.result(),
    )


def inference_device() -> torch.device:
    """The first device there is, with all cores of a CPU."""
    device = torch.device(available_slots()[0].device)
    if device.type == "cpu":
        use_all_cores()
    return device

"""The card's sections on results: accuracies, the most confused classes, the calibration of probabilities."""

import numpy as np

from analysis.intervals import share
from nas.hub import names
from nas.hub.card_facts import CardFacts
from nas.hub.evaluated import KeptEvaluation
from nas.hub.markdown import code, plain, table
from nas.hub.shown_places import shown_source
from nas.training.calibration import BINS
from nas.training.evaluation import Evaluation
from search_spaces.settings.shell_words import path_word
from trials.objective import ACCURACY, in_words

CONFUSED = 10  # pairs of classes in a table
EXTREMES = 5  # classes with the lowest accuracy
PARTS = {"test": "the test images", "minival": "the minival images"}


def results_section(facts: CardFacts, *, folder: str) -> str:
    """Accuracies with their images and intervals, and what they are of; `folder`: of the card."""
    finished = facts.finished
    rows = [_row("minival", finished.accuracy, facts.data.minival)]
    if finished.test_accuracy is not None and finished.test_images:
        rows.insert(0, _row("test", finished.test_accuracy, finished.test_images))
    kept = facts.evaluation
    said = [
        f"The weights are those of epoch {finished.best_epoch} of {finished.epochs}, which had the best "
        f"{in_words(finished.objective)} on minival (held-out images of the training's own source): that "
        "figure has chosen the epoch, and is a little high.",
        "The accuracy on test images is that of these weights, which minival has chosen."
        if finished.test_accuracy is not None
        else "No test images were given to the training: there is no accuracy on images that chose nothing. "
        f"{code(f'nas evaluate {path_word(folder)} --data IMAGES')} measures it on "
        "labelled images of yours.",
    ]
    if finished.objective != ACCURACY:
        values = (("minival", finished.value), ("test", finished.test_value))
        listed = [f"**{value:.4f}** on {part} images" for part, value in values if value is not None]
        said.append(f"The {in_words(finished.objective)} is {' and '.join(listed)}.")
    if finished.test_accuracy is not None and _are_trained_on(facts):
        said.append(
            "But the test images are of the source that was trained on: the network has learnt from many of "
            "them."
        )
    if facts.has_several_labels:
        said.append(
            "Images may have several labels: a prediction counts as right if it is any of them, in accuracy, "
            "confusion and calibration alike; a wrong one stands in the row of the image's first label."
        )
    parts = ["## Results", table(("images", "n", "accuracy", "95 % interval"), rows), " ".join(said)]
    if kept is not None:
        found = kept.evaluation
        parts.append(
            f"On {found.images:,} {kept.part} images at {found.resolution} px, evaluated in fp32 on "
            f"{plain(kept.device_name)} at {kept.evaluated_at}: accuracy {found.accuracy:.4f} (standard "
            "error "
            f"{found.standard_error:.4f}), balanced accuracy {found.balanced_accuracy:.4f}, top five "
            f"{found.accuracy_top5:.4f}, loss {found.loss:.4f}."
        )
    return "\n\n".join(parts)


def _are_trained_on(facts: CardFacts) -> bool:
    """True where the test images are those of the training, by their digest or by their source."""
    same_digest = facts.test is not None and facts.test.digest == facts.data.digest
    return same_digest or facts.config.test == facts.config.data.source


def confusion_section(facts: CardFacts) -> str:
    """The most confused pairs of classes and the least accurate classes; the matrix is a picture."""
    kept = facts.evaluation
    if kept is None:
        return f"## Confusion\n\n{_not_computed(facts)}"
    evaluation, title = kept.evaluation, f"## Confusion\n\nOn {PARTS[kept.part]}."
    pairs = confused_pairs(evaluation)
    if not pairs:
        return f"{title} No image is taken for another class.\n\n![Confusion matrix]({names.CONFUSION})"
    rows = [
        (
            plain(evaluation.classes[label]),
            plain(evaluation.classes[other]),
            f"{count:,}",
            f"{int(evaluation.confusion[label].sum()):,}",
        )
        for label, other, count in pairs[:CONFUSED]
    ]
    more = f" (the {len(rows)} most frequent of {len(pairs):,})" if len(pairs) > len(rows) else ""
    present = [i for i in range(len(evaluation.classes)) if evaluation.accuracy_of(i) is not None]
    worst = sorted(present, key=lambda i: evaluation.accuracy_of(i) or 0.0)[:EXTREMES]
    lowest = [
        (
            plain(evaluation.classes[i]),
            f"{int(evaluation.confusion[i].sum()):,}",
            f"{evaluation.accuracy_of(i) or 0.0:.3f}",
        )
        for i in worst
    ]
    return "\n\n".join(
        [
            f"{title} Classes that are predicted as another one{more}:",
            table(("is", "predicted as", "images", "of"), rows, left=2),
            f"The lowest accuracies of {len(present):,} classes:",
            table(("class", "images", "accuracy"), lowest),
            f"![Confusion matrix]({names.CONFUSION})",
        ]
    )


def confused_pairs(evaluation: Evaluation) -> list[tuple[int, int, int]]:
    """Label, other prediction and number of images of each pair that occurs, the most frequent first."""
    wrong = evaluation.confusion.copy()
    np.fill_diagonal(wrong, 0)
    labels, predictions = np.nonzero(wrong)
    counts = wrong[labels, predictions]
    order = np.argsort(-counts, kind="stable")
    return [(int(labels[i]), int(predictions[i]), int(counts[i])) for i in order]


def calibration_section(facts: CardFacts) -> str:
    """Expected calibration error, and each bin that has images."""
    kept = facts.evaluation
    if kept is None:
        return f"## Calibration of probabilities\n\n{_not_computed(facts)}"
    found = kept.calibration
    rows = [
        (
            f"{i / BINS:.2f} to {(i + 1) / BINS:.2f}",
            f"{count:,}",
            f"{found.confidence[i]:.3f}",
            f"{found.accuracy[i]:.3f}",
            _interval(found.accuracy[i], count),
        )
        for i, count in enumerate(found.counts)
        if count
    ]
    sense = "more sure than right" if found.overconfidence > 0 else "more right than sure"
    return "\n\n".join(
        [
            "## Calibration of probabilities",
            f"On {found.images:,} {kept.part} images, in {BINS} bins of equal width by the probability of "
            "the "
            f"predicted class: the expected calibration error is **{found.expected_error:.4f}**. On "
            "average it "
            f"is {sense}, by {abs(found.overconfidence):.4f}. Softmax of the logits, no temperature."
            f"{_minival_words(kept)}",
            table(("confidence", "images", "mean", "accuracy", "95 % interval"), rows),
            f"![Calibration]({names.CALIBRATION})",
        ]
    )


def _minival_words(kept: KeptEvaluation) -> str:
    return (
        " Minival has chosen the epoch: new images may be calibrated worse." if kept.part == "minival" else ""
    )


def _row(part: str, value: float, images: int) -> tuple[str, str, str, str]:
    return (part, f"{images:,}", f"**{value:.4f}**", _interval(value, images))


def _interval(value: float, images: int) -> str:
    found = share(round(value * images), images)
    return f"{found.low:.4f} to {found.high:.4f}"


def _not_computed(facts: CardFacts) -> str:
    """The fault, and the command that helps; the reason itself may name a place of the owner's machine."""
    config = facts.config
    part, key = ("minival", "data.source") if config.test is None else ("test", "test")
    source = shown_source(config.test or config.data.source)
    fault = (
        "were not those of the training any more" if facts.are_other_images else "could not be read from here"
    )
    command = code(f"nas train --run {path_word(facts.folder.name)} --set {key}=IMAGES")
    return (
        f"Not computed: the {part} images ({code(source)}) {fault} when this card was written. "
        f"{command} records where they are now; then the command that wrote this card computes it."
    )

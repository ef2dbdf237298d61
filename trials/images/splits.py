"""Divides images into train and minival, and takes shares of them: seeded and stratified by class."""

from collections.abc import Sequence

import numpy as np

from search_spaces.settings.sentences import one_line
from trials.images.labels import strata

SPLIT, FRACTION = 0, 1  # streams of randomness drawn from one seed


def split_indices(
    labels: np.ndarray,
    *,
    minival: float | None,
    seed: int,
    classes: Sequence[str],
    digests: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Indices of train and of minival, ascending; every class has the same share of both, to one image.

    Args:
        labels: (N,) or (N, L).
        minival: share of the images, 0-1; None: see `minival_size`.
        classes: names of the classes, for messages.
        digests: (N,) of the pictures. Copies of one picture come to one side, so that no image to evaluate on
            is trained on; the shares are those of different pictures then.

    Raises:
        ValueError: there are too few images for one of each class in both.
    """
    if digests is not None:
        _, first, copy_of = np.unique(digests, return_index=True, return_inverse=True)
        if len(first) < len(digests):
            return _split_with_copies(
                labels, np.sort(first), first[copy_of], minival=minival, seed=seed, classes=classes
            )
    total = len(labels)
    labels = strata(labels)
    size = minival_size(total) if minival is None else round(minival * total)
    present, counts = np.unique(labels, return_counts=True)
    if (counts < 2).any():
        alone = one_line(classes[present[counts < 2][0]])
        raise ValueError(
            f"class {alone} has a single image; each class needs two or more: add one, or leave the class out"
        )
    if not len(present) <= size <= total - len(present):
        raise ValueError(
            f"minival would have {size} of {total} images, too few or too many for {len(present)} classes; "
            "change data.minival or use more images (data.fraction)"
        )
    taken = stratified(labels, size, np.random.default_rng([seed, SPLIT]))
    held_out = np.zeros(total, bool)
    held_out[taken] = True
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def _split_with_copies(
    labels: np.ndarray,
    different: np.ndarray,
    first: np.ndarray,
    *,
    minival: float | None,
    seed: int,
    classes: Sequence[str],
) -> tuple[np.ndarray, np.ndarray]:
    """The split of the `different` pictures (their first positions); each copy goes where its `first` is."""
    try:
        _, held_out = split_indices(labels[different], minival=minival, seed=seed, classes=classes)
    except ValueError as error:
        copies = len(first) - len(different)
        raise ValueError(f"{error} ({copies:,} images are copies of others, and do not count)") from None
    is_held_out = np.isin(first, different[held_out])
    return np.flatnonzero(~is_held_out), np.flatnonzero(is_held_out)


def minival_size(images: int) -> int:
    """The default number of minival images: 10 %, but at most 5,000 unless that is less than 2 %."""
    return max(round(0.02 * images), min(5_000, round(0.1 * images)))


def share(labels: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Positions, ascending, of a share (0-1) of the images, stratified by class."""
    if fraction == 1.0:
        return np.arange(len(labels))
    size = max(round(fraction * len(labels)), 1)
    return np.sort(stratified(strata(labels), size, np.random.default_rng([seed, FRACTION])))


def stratified(labels: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """`size` random positions, with every class in proportion to its number (largest remainder method)."""
    present, counts = np.unique(labels, return_counts=True)
    # Step 1: every class gets its exact share rounded down; the rest goes to the largest remainders.
    exact = counts * (size / len(labels))
    quota = np.floor(exact).astype(int)
    for i in np.argsort(quota - exact, kind="stable")[: size - int(quota.sum())]:
        quota[i] += 1
    # Step 2: no class is left out if there are enough images; the largest quotas pay for it.
    if size >= len(present):
        for i in np.flatnonzero(quota == 0):
            quota[i] += 1
            quota[np.argmax(quota)] -= 1
    # Step 3: draw each class's quota without replacement.
    drawn = [
        rng.permutation(np.flatnonzero(labels == label))[:number]
        for label, number in zip(present, quota, strict=True)
    ]
    return np.concatenate(drawn)

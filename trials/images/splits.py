"""Which images a search trains on and which it judges by: seeded, stratified shares."""

import numpy as np

from trials.images.labels import strata

SPLIT, FRACTION = 0, 1  # streams of randomness


def split_indices(labels: np.ndarray, *, minival: float | None, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Stratified indices of train and minival, ascending; every class keeps its share to within one image.

    Raises:
        ValueError: too few images for one of each class on both sides.
    """
    total = len(labels)
    labels = strata(labels)
    size = minival_size(total) if minival is None else round(minival * total)
    present, counts = np.unique(labels, return_counts=True)
    if (counts < 2).any():
        raise ValueError(
            f"class {present[counts < 2][0]} has a single image; each class needs one to train on and another"
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


def minival_size(images: int) -> int:
    """The default number of minival images: 10 %, at most 5,000 unless that were less than 2 %."""
    return max(round(0.02 * images), min(5_000, round(0.1 * images)))


def share(labels: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Positions, ascending, of a stratified share of the images."""
    if fraction == 1.0:
        return np.arange(len(labels))
    size = max(round(fraction * len(labels)), 1)
    return np.sort(stratified(strata(labels), size, np.random.default_rng([seed, FRACTION])))


def stratified(labels: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """`size` positions: shares rounded down, the rest to the largest remainders, at least one a class."""
    present, counts = np.unique(labels, return_counts=True)
    exact = counts * (size / len(labels))
    quota = np.floor(exact).astype(int)
    for i in np.argsort(quota - exact, kind="stable")[: size - int(quota.sum())]:
        quota[i] += 1
    if size >= len(present):
        for i in np.flatnonzero(quota == 0):
            quota[i] += 1
            quota[np.argmax(quota)] -= 1
    drawn = [
        rng.permutation(np.flatnonzero(labels == label))[:number]
        for label, number in zip(present, quota, strict=True)
    ]
    return np.concatenate(drawn)

"""Exact copies of pictures, by the digests of their files."""

from collections.abc import Sequence

import numpy as np

from search_spaces.settings.sentences import one_line
from trials.images.labels import PADDING


def copies_sentence(
    digests: np.ndarray, labels: np.ndarray, classes: Sequence[str], *, is_split: bool = True
) -> str:
    """A sentence about pictures that are there more than once; empty if there are none.

    Args:
        digests: (N,) of the pictures.
        labels: (N,) or (N, L).
        is_split: whether these images are divided into those to train on and those to evaluate on.
    """
    _, first, group, counts = np.unique(digests, return_index=True, return_inverse=True, return_counts=True)
    several = int((counts > 1).sum())
    if not several:
        return ""
    copies = len(digests) - len(counts)
    where = ", on one side of the split" if is_split else ""
    text = f"{copies:,} of {len(digests):,} pictures are exact copies of others{where}"
    # A group contradicts itself if any of its images has other labels than its first.
    own = np.sort(labels.reshape(len(labels), -1), axis=1)
    contradicts = (own != own[first][group]).any(axis=1)
    if not contradicts.any():
        return text
    at = int(np.argmax(contradicts))
    here, there = (_names(own[i], classes) for i in (first[group[at]], at))
    return (
        f"{text}. {len(np.unique(group[contradicts])):,} of these pictures are in several classes, one in "
        f"{here} and {there}"
    )


def _names(labels: np.ndarray, classes: Sequence[str]) -> str:
    return " with ".join(one_line(classes[label]) for label in labels if label != PADDING)

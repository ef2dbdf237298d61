"""Sentences about packed images: lost classes, copies, pictures of one colour."""

import numpy as np

from search_spaces.settings.sentences import some
from trials.images.chosen_images import EncodedImages
from trials.images.copies import copies_sentence
from trials.images.labels import PADDING
from trials.images.pack_writer import PackFacts

FEW_CONSTANT = 3  # pictures of one colour that are not worth a word


def refuse_lost_classes(found: EncodedImages, readable: np.ndarray) -> None:
    """No class may lose all its pictures in silence, however few they are.

    Raises:
        ValueError: one has.
    """
    lost = np.setdiff1d(found.labels[found.labels != PADDING], readable)
    if len(lost):
        names = [found.classes[label] for label in lost]
        raise ValueError(
            f"no picture of {'class' if len(names) == 1 else 'the classes'} {some(names)} can be read; "
            "replace them, or leave out the class"
        )


def classes_of_one_part(found: EncodedImages, train: np.ndarray, minival: np.ndarray) -> list[str]:
    """Sentences about classes that the source has, and of which no image is in a part of the split."""
    present = np.setdiff1d(found.source.labels, [PADDING])
    notes = []
    for words, labels in (("trained", train), ("evaluated", minival)):
        if len(lost := np.setdiff1d(present, labels)):
            names = some([found.classes[label] for label in lost])
            notes.append(f"no image of {len(lost):,} of {len(present):,} classes is {words} on: {names}")
    return notes


def oddities(
    found: EncodedImages,
    digests: np.ndarray,
    facts: PackFacts,
    readable: np.ndarray,
    *,
    is_split: bool,
) -> list[str]:
    """Sentences about copies and about pictures of one colour; `digests` are those of all pictures."""
    notes = []
    if sentence := copies_sentence(
        digests[readable], found.labels[readable], found.classes, is_split=is_split
    ):
        notes.append(sentence)
    constant = [found.name_of(position) for position in facts.constant]
    if len(constant) > FEW_CONSTANT:
        notes.append(
            f"{len(constant):,} of {len(readable):,} pictures are of one colour: "
            f"{some(constant, between='; ')}"
        )
    return notes

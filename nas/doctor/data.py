"""Images as a search will see them: classes, kinds, sizes, oddities, copies, the split."""

import io
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from PIL import Image

from analysis.numbers import counted, percent
from nas.doctor.findings import Finding, Level
from nas.search.config import SearchConfig, check_networks, read_search_config
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.sentences import first_line, some
from search_spaces.settings.setting_errors import naming_origins
from trials.images.chosen_images import EncodedImages, find_images
from trials.images.config import DataConfig
from trials.images.copies import copies_sentence
from trials.images.decode import FORMATS, TOO_LARGE, UnreadablePictureError, decode
from trials.images.labels import images_of_classes
from trials.images.pack_writer import digest_of
from trials.images.sources import source_words
from trials.images.splits import split_indices

TOPIC = "data"
SAMPLE = 256  # pictures that are decoded and measured, spread over the source
SIDE = 64  # pixels
NAMED = 6  # classes whose counts are said one by one
FEW = 20  # images of a class, of which two are evaluated on: its accuracy says little
UNEVEN = 10.0  # most over fewest images of a class, from which on it is worth a word
ALL_READ = 20_000  # images; of more the pictures are not all read to find copies


def data_findings(source: str, *, search: str | None = None) -> Iterator[Finding]:
    """All that a search would see of a source; with a `search` file also whether it suits the images."""
    try:
        config = read_search_config(search, overrides=[]) if search else None
    except ConfigError as error:
        yield Finding("search", "hinders", str(error), "mend the search file")
        return
    try:
        yield from _findings(source, config, search=search)
    except (ValueError, OSError) as error:
        yield Finding(TOPIC, "hinders", first_line(error), "mend the images, or name others")


def _findings(source: str, config: SearchConfig | None, *, search: str | None) -> Iterator[Finding]:
    if not source:
        raise ValueError("no images are named")
    data = replace(config.data, source=source) if config else DataConfig(source=source)
    found = find_images(data)
    yield _classes_finding(source, found)
    for note in found.notes:
        yield Finding(TOPIC, "note", note, "see docs/data.md, if that is not what they mean")
    yield from _picture_findings(found, data.max_corrupt)
    digests = _digests(found)
    yield _copies_finding(found, digests)
    yield _split_finding(data, found, digests)
    if config is not None and search is not None:
        yield _space_finding(config, found, search=search)


def _classes_finding(source: str, found: EncodedImages) -> Finding:
    """Images and classes, with counts; uneven or small ones are noted."""
    counts = images_of_classes(found.labels, len(found.classes))
    present = counts[counts > 0]
    words = f"{source_words(source)}: {counted(len(found.labels), 'image')} of {len(found.classes):,} classes"
    if found.labels.ndim > 1:
        words += ", several for an image"
    if len(present) <= NAMED:
        words += ": " + ", ".join(f"{found.classes[i]} {counts[i]:,}" for i in np.flatnonzero(counts))
    else:
        least, most = (
            int(i) for i in (np.where(counts > 0, counts, counts.max() + 1).argmin(), counts.argmax())
        )
        words += (
            f", from {counts[least]:,} ({found.classes[least]}) to {counts[most]:,} ({found.classes[most]}), "
            f"median {np.median(present):,.0f}"
        )
    if present.min() < FEW:
        advice = "collect more of them, or read their accuracy with care: minival has one image in ten"
        return Finding(
            TOPIC, "note", f"{words}; {int((present < FEW).sum()):,} have fewer than {FEW}", advice
        )
    if present.max() / present.min() > UNEVEN:
        advice = (
            "accuracy favours large classes: objective: balanced_accuracy and recipe.class_weights: balanced "
            "in a search file count all alike; nas evaluate shows each class"
        )
        return Finding(TOPIC, "note", words, advice)
    return Finding(TOPIC, "fine", words)


def _picture_findings(found: EncodedImages, max_corrupt: float) -> Iterator[Finding]:
    """Kinds, modes and sizes of a sample of pictures, and those of it that cannot be read."""
    chosen = np.unique(np.linspace(0, len(found.chosen) - 1, SAMPLE).astype(int))
    kinds: Counter[str] = Counter()
    sides: list[tuple[int, int]] = []
    unreadable = []
    for name, picture in found.source.read(found.chosen[chosen]):
        try:
            encoded = picture() if callable(picture) else picture
            if isinstance(encoded, np.ndarray):
                kinds["pixels"] += 1
                sides.append(encoded.shape[1::-1])
                continue
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Pillow's, about odd metadata
                decode(encoded, SIDE, max_pixels=found.max_pixels)
                with Image.open(io.BytesIO(encoded), formats=FORMATS) as opened:
                    kinds[f"{opened.format} {opened.mode}"] += 1
                    sides.append(opened.size)
        except (UnreadablePictureError, OSError) as error:
            unreadable.append(f"{name} ({error})")
    if sides:
        areas = np.array([width * height for width, height in sides])
        small, middle, large = (sides[int(i)] for i in np.argsort(areas)[[0, len(areas) // 2, -1]])
        words = some([f"{kind} {percent(count / len(sides))}" for kind, count in kinds.most_common()], most=4)
        sizes = f"{_size(middle)} px" if small == large else (
            f"{_size(small)} to {_size(large)} px, half of them up to {_size(middle)}"
        )  # fmt: skip
        yield Finding(TOPIC, "fine", f"of {len(chosen):,} looked at: {words}; {sizes}")
    if unreadable:
        names = some(unreadable, between="; ")
        text = f"of {len(chosen):,} looked at {len(unreadable):,} cannot be read: {names}"
        level: Level = "hinders" if len(unreadable) > max_corrupt * len(chosen) else "note"
        advice = f"remove or replace them; a search leaves out {percent(max_corrupt)}, its data.max_corrupt"
        if any(TOO_LARGE in name for name in unreadable):
            advice += ", and reads pictures up to its data.max_pixels"
        yield Finding(TOPIC, level, text, advice)


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]:,} x {size[1]:,}"


def _digests(found: EncodedImages) -> np.ndarray | None:
    """Digests of all pictures (N,), where the set is small enough to read it all."""
    if len(found.labels) > ALL_READ:
        return None
    digests = np.zeros(len(found.labels), np.uint64)
    for i, (_, picture) in enumerate(found.read()):
        try:
            digests[i] = digest_of(picture() if callable(picture) else picture)
        except OSError:  # gone, or not to be read: the sample says so
            digests[i] = i
    return digests


def _copies_finding(found: EncodedImages, digests: np.ndarray | None) -> Finding:
    """Exact copies."""
    if digests is None:
        return Finding(TOPIC, "fine", "copies are looked for when the images are packed: there are many")
    if sentence := copies_sentence(digests, found.labels, found.classes):
        advice = (
            "a picture in several classes cannot be learnt: keep one" if "several classes" in sentence else ""
        )
        return Finding(TOPIC, "note", sentence, advice)
    return Finding(TOPIC, "fine", "no picture is there twice")


def _split_finding(data: DataConfig, found: EncodedImages, digests: np.ndarray | None) -> Finding:
    try:
        train, minival = split_indices(
            found.labels,
            minival=data.minival,
            seed=data.split_seed,
            classes=found.classes,
            digests=digests,
        )
    except ValueError as error:
        return Finding(TOPIC, "hinders", str(error), "give the search more images, or another data.minival")
    return Finding(
        TOPIC, "fine", f"a search trains on {len(train):,} and evaluates on {len(minival):,} of them"
    )


def _space_finding(config: SearchConfig, found: EncodedImages, *, search: str) -> Finding:
    """The finding on a search's networks: built for these classes at its resolutions, or why not."""
    resolutions: Sequence[int] = config.recipe.image_sizes
    at = " and ".join(map(str, resolutions))
    try:
        with naming_origins(SearchConfig, search):
            check_networks(config, num_classes=len(found.classes))
    except ConfigError as error:
        return Finding("search", "hinders", str(error), "another space, or another recipe.resolution")
    return Finding("search", "fine", f"its networks suit {len(found.classes):,} classes at {at} px")

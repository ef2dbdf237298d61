"""Places as others see them: sources, runs and files by their last names, sets of the Hub in full."""

import re
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from nas.hub.names import PART
from search_spaces.interchange.files import FORMATS
from search_spaces.networks.architecture import Architecture
from trials.images.sources import SOURCES
from trials.training.weights_file import WeightsFile

DATASETS = "hf://datasets/"
URL = re.compile(r"\w[\w+.-]+:/")
# The beginning of a path that is not relative, or of a URL.
PLACE = re.compile(r"[/~\\]|\.{1,2}[/\\]|\w:[/\\]|\w[\w+.-]*:/")
# Fields that hold a place, also a relative one; of an import that of its project.
PLACES = frozenset({"source", "run", "base", "init", "test", *FORMATS})
CLASSES = "classes"  # a field of names, which may look like paths


def shown_source(source: str) -> str:
    """Images as a card names them: without folders and buckets of their owner, a set of the Hub in full.

    A URL loses its query and its fragment, where signatures are.
    """
    if source in SOURCES:
        return source
    place = source.rpartition("::")[2] if "://" in source else source  # of a chain the outermost
    if URL.match(place) is None:
        return PurePosixPath(place.replace("\\", "/").rstrip("/")).name or "images"
    place = re.split(r"[?#]", place, maxsplit=1)[0].rstrip("/")
    if place.startswith("hf://"):
        return place
    _, _, path = place.partition(":")[2].lstrip("/").partition("/")  # without the bucket or the server
    return PurePosixPath(path).name or "images"


def shown_run(name: str) -> str:
    """A run by its last name; a file of somebody's may give any text."""
    shown = shown_source(name)
    return "a run" if shown in ("images", "..") else shown


def dataset_of(source: str) -> str | None:
    """The set of the Hub that a source names, NAME or USER/NAME, without a revision; None of others."""
    place = shown_source(source)
    if not place.startswith(DATASETS):
        return None
    parts = place.removeprefix(DATASETS).split("/")
    # A set without a user, as the oldest have it: alone, at a revision, or directly before its files.
    is_old = len(parts) == 1 or "@" in parts[0] or "*" in parts[1] or re.search(r"\.[a-z]+$", parts[1])
    names = [part.partition("@")[0] for part in parts[: 1 if is_old else 2]]
    return "/".join(names) if all(PART.fullmatch(name) for name in names) else None


def shown_architecture(architecture: Architecture) -> Architecture:
    """The architecture with a provenance that names no place of its owner's machine."""
    return replace(architecture, provenance=_without_places(architecture.provenance))


def shown_weights(weights: WeightsFile) -> WeightsFile:
    """The weights with facts that name no place of their owner's machine; classes keep their names."""
    return replace(weights, facts=_without_places(weights.facts))


def _without_places(value: Any, key: str = "") -> Any:
    """Plain values in which paths and URLs are replaced by their last names."""
    if key == CLASSES:
        return value
    if isinstance(value, dict):
        return {name: _without_places(each, name) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_without_places(each, key) for each in value]
    if not isinstance(value, str):
        return value
    if key == "run":
        return shown_run(value)
    return shown_source(value) if key in PLACES or PLACE.match(value) else value

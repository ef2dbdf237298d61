"""Packs: images decoded once to a memory-mapped array at one resolution, shared by all workers of a host.

Packs lie in training-aware-nas/packs under $XDG_CACHE_HOME or ~/.cache. They can be deleted at any time and
are made again when needed. A pack's name is a hash of its contents' origin (path, size and times or etag of
every file, the share of images, the resolution), so a changed source gets a new pack. Beside the pixels lie a
digest of every encoded picture and a checksum of its pixels, which are compared when they are first used.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from trials.devices.cache_folder import cache_folder
from trials.devices.file_lock import locked
from trials.images.chosen_images import EncodedImages, find_images
from trials.images.config import DataConfig
from trials.images.jpeg import decoders
from trials.images.labels import PADDING
from trials.images.pack_checks import PixelChecks
from trials.images.pack_notes import classes_of_one_part, oddities, refuse_lost_classes
from trials.images.pack_refusals import PackRefusals, corrupt_sentence
from trials.images.pack_reuse import KnownPixels
from trials.images.pack_sizes import stored_size, stored_sizes
from trials.images.pack_writer import PackArrays, PackFacts, fill_pack
from trials.images.pixel_file import allocated
from trials.images.splits import split_indices
from trials.pictures import SQUASHED, PictureView

PACKING_VERSION = 5  # part of every pack's name: to be raised when decoding changes
IMAGES, DIGESTS, CHECKSUMS, META = "images.npy", "digests.npy", "checksums.npy", "meta.json"
CHECKED_AT_ONCE = 4 << 30  # bytes of a pack that is checked as a whole when it is opened

OnProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class TrialImages:
    """Images at one resolution, memory-mapped: images (N, S, S, 3) uint8, and their split.

    S is the resolution, or a larger one from which they are resized when they are read (`pack_sizes`). Labels
    are int64 (N,), or (N, L) padded with -1 where images have several. `corrupt` names unreadable pictures,
    which are neither in `train` nor in `minival`.
    """

    images: np.ndarray
    labels: np.ndarray
    train: np.ndarray  # indices of the images to train on; of images that are only evaluated, all
    minival: np.ndarray  # indices of the images to evaluate on
    classes: tuple[str, ...]
    corrupt: tuple[str, ...] = ()
    digests: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint64))  # (N,) of encoded pictures
    checks: PixelChecks | None = None  # None: these pixels are from no pack
    notes: tuple[str, ...] = ()  # sentences for the user: how labels were read, what is odd
    name_of: Callable[[int], str] = str  # the name of the image at an index
    deeper: str = ""  # advice to give a folder further down, whose sub-folders may be the classes
    pixels_by: str = ""  # what made the pixels of the pictures
    resized_to: int | None = None  # the resolution, where it is not that of `images`

    @property
    def num_classes(self) -> int:
        """The number of classes."""
        return len(self.classes)

    @property
    def resolution(self) -> int:
        """The resolution that batches of these images have."""
        return self.resized_to or int(self.images.shape[1])

    def all_notes(self) -> list[str]:
        """The notes, and a sentence about pictures that cannot be read, if there are any."""
        if not self.corrupt:
            return list(self.notes)
        return [*self.notes, f"{corrupt_sentence(self.corrupt, len(self.images))}; they are left out"]

    @cached_property
    def digest(self) -> str:
        """Digest of pictures, labels and class names, in their order; SHA-256."""
        rows = self.labels.reshape(len(self.labels), -1)
        are_labels = rows != PADDING
        return data_digest(self.classes, self.digests, are_labels.sum(axis=1), rows[are_labels])


def open_images(
    config: DataConfig,
    *,
    resolution: int,
    sizes: Sequence[int] = (),
    cache: Path | None = None,
    on_progress: OnProgress | None = None,
    verify: bool = False,
    only_evaluated: bool = False,
    view: PictureView = SQUASHED,
) -> TrialImages:
    """Opens the images of a configuration at one resolution, and packs them first if there is no pack yet.

    Several processes may ask at once: one packs, the others wait for it. Pixels are compared with their
    checksums when they are first used; with `verify` those of a pack up to CHECKED_AT_ONCE at once, and a
    damaged one is made again. `only_evaluated`: see `find_images`; all are in `train` then. `sizes` are all
    resolutions that these images are needed at: of a large set only the largest is packed. `view` says how
    each picture becomes a square.

    Raises:
        ValueError: the source, a picture or the disk does not allow it; the message says what to do.
    """
    found = find_images(config, only_evaluated=only_evaluated).viewed(view)
    refusals = PackRefusals(config, has_keys=not only_evaluated)
    wanted, resolution = resolution, stored_size(resolution, sizes, count=len(found.labels))
    pack = _opened_pack(found, resolution, refusals, cache=cache, on_progress=on_progress, verify=verify)
    readable = np.setdiff1d(np.arange(len(pack.images)), [position for position, _ in pack.facts.corrupt])
    labels = found.labels[readable]
    if only_evaluated:
        train, minival = np.arange(len(readable)), np.empty(0, np.int64)
    else:
        refuse_lost_classes(found, labels)
        train, minival = split_indices(
            labels,
            minival=config.minival,
            seed=config.split_seed,
            classes=found.classes,
            digests=pack.digests[readable],
        )
    return TrialImages(
        images=pack.images,
        labels=found.labels,
        train=readable[train],
        minival=readable[minival],
        classes=found.classes,
        corrupt=tuple(name for _, name in pack.facts.corrupt),
        digests=pack.digests,
        checks=pack.checks,
        notes=(
            *found.notes,
            *oddities(found, pack.digests, pack.facts, readable, is_split=not only_evaluated),
            *([] if only_evaluated else classes_of_one_part(found, labels[train], labels[minival])),
        ),
        name_of=found.name_of,
        deeper=found.deeper,
        pixels_by=pack.facts.decoders + _resizing(sizes, count=len(found.labels)),
        resized_to=None if wanted == resolution else wanted,
    )


def open_minival(
    config: DataConfig,
    images: TrialImages,
    *,
    resolution: int,
    view: PictureView,
    cache: Path | None = None,
    on_progress: OnProgress | None = None,
    verify: bool = False,
) -> TrialImages:
    """The minival images of an opened set in a pack of their own: at another resolution, in another view.

    Raises:
        ValueError: as `open_images`.
    """
    found = find_images(config).viewed(view).part(images.minival)
    refusals = PackRefusals(config, has_keys=True)
    pack = _opened_pack(found, resolution, refusals, cache=cache, on_progress=on_progress, verify=verify)
    unreadable = [position for position, _ in pack.facts.corrupt]  # since the images to train on were packed
    return TrialImages(
        images=pack.images,
        labels=found.labels,
        train=np.empty(0, np.int64),
        minival=np.setdiff1d(np.arange(len(found.labels)), unreadable),
        classes=found.classes,
        digests=pack.digests,
        checks=pack.checks,
        name_of=found.name_of,
        pixels_by=pack.facts.decoders,
    )


def _opened_pack(
    found: EncodedImages,
    resolution: int,
    refusals: PackRefusals,
    *,
    cache: Path | None,
    on_progress: OnProgress | None,
    verify: bool,
) -> "_Pack":
    """The pack of these images, which is written first if there is none."""
    folder = (cache or default_cache()) / _key(found, resolution)
    _make_cache(folder.parent)
    # Double-checked locking: whoever gets the lock looks again, as another process may have packed meanwhile.
    pack = _valid_pack(folder, found, resolution, verify=verify)
    if pack is None:
        with locked(folder.with_suffix(".lock")):
            pack = _valid_pack(folder, found, resolution, verify=verify)
            if pack is None:
                _pack(found, folder, resolution, refusals, on_progress)
                pack = _valid_pack(folder, found, resolution)
                assert pack is not None, "a pack that was just written is valid"
    refusals.check_corrupt(pack.facts.corrupt, total=len(pack.images))
    return pack


def _resizing(sizes: Sequence[int], *, count: int) -> str:
    """Words for how smaller sizes are made, where only the largest is packed."""
    is_one = len({*sizes}) > 1 and len(stored := stored_sizes(sizes, count=count)) == 1
    return f"; smaller sizes resized from {stored[0]} px" if is_one else ""


def are_packed(found: EncodedImages, sizes: Sequence[int]) -> bool:
    """True if these images are packed for all sizes in the default cache, so that opening takes a moment."""
    stored = stored_sizes(sizes, count=len(found.labels))
    return all(_valid_pack(default_cache() / _key(found, size), found, size) is not None for size in stored)


def data_digest(classes: Sequence[str], digests: np.ndarray, counts: np.ndarray, labels: np.ndarray) -> str:
    """Digest of images, SHA-256.

    Args:
        digests: (N,) of the pictures.
        counts: (N,) how many labels each image has.
        labels: of all images one after the other.
    """
    digest = hashlib.sha256(json.dumps(list(classes)).encode())
    for array, kind in ((digests, "<u8"), (counts, "<i8"), (labels, "<i8")):
        digest.update(np.ascontiguousarray(array, kind).tobytes())
    return digest.hexdigest()


def default_cache() -> Path:
    """The default folder of packs."""
    return cache_folder("packs")


# ---------------------------------------------------------------------- the cache


def _key(found: EncodedImages, resolution: int) -> str:
    text = json.dumps([PACKING_VERSION, resolution, found.identity])
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _make_cache(folder: Path) -> None:
    """Makes the folder of packs and checks that files can be written in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise ValueError(
            f"{folder}: packed images cannot be kept here ({error.strerror}); set XDG_CACHE_HOME to a folder "
            "that can be written"
        ) from error


def _labels_digest(found: EncodedImages) -> str:
    return hashlib.sha256(np.ascontiguousarray(found.labels).tobytes()).hexdigest()


@dataclass(frozen=True)
class _Pack:
    """An open pack."""

    images: np.ndarray  # (N, R, R, 3) uint8, memory-mapped
    digests: np.ndarray  # (N,) uint64
    sums: np.ndarray  # (N,) uint32
    facts: PackFacts
    checks: PixelChecks


def _valid_pack(folder: Path, found: EncodedImages, resolution: int, *, verify: bool = False) -> _Pack | None:
    """A complete pack of these images, or None."""
    pack = _read_pack(folder, resolution)
    if pack is None or len(pack.images) != len(found.labels) or pack.facts.labels != _labels_digest(found):
        return None
    if verify and pack.images.nbytes <= CHECKED_AT_ONCE and not pack.checks.all_are_whole():
        return None
    return pack


def _read_pack(folder: Path, resolution: int) -> _Pack | None:
    """The pack in a folder, whosever it is; None if it is none at this resolution, or damaged."""
    if (facts := _facts_of(folder)) is None:
        return None
    try:
        images = np.load(folder / IMAGES, mmap_mode="r", allow_pickle=False)
        digests, sums = (np.load(folder / name, allow_pickle=False) for name in (DIGESTS, CHECKSUMS))
    except (
        Exception
    ):  # damaged headers raise whatever Python's own parser makes of them: no pack is whole then
        return None
    shapes = (images.shape[1:], images.dtype) == ((resolution, resolution, 3), np.uint8)
    shapes &= digests.shape == sums.shape == images.shape[:1]
    if not shapes or facts.arrays != _arrays_digest(digests, sums):
        return None
    return _Pack(images, digests, sums, facts, PixelChecks(images, sums, folder))


def _facts_of(folder: Path) -> PackFacts | None:
    try:
        return PackFacts.from_json((folder / META).read_text())
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _origin(found: EncodedImages, source: str) -> str:
    """The source, and all that decides what pixels a picture of it has at one resolution."""
    view = [] if found.view == SQUASHED else [asdict(found.view)]
    return json.dumps([PACKING_VERSION, decoders(), found.max_pixels, source, *view])


def _known_pixels(cache: Path, origin: str, resolution: int) -> KnownPixels | None:
    """The pixels of the newest pack of the same source, as it was before; None where there is none."""
    folders = [path.parent for path in cache.glob(f"*/{META}") if not path.parent.name.startswith(".")]
    for folder in sorted(folders, key=os.path.getmtime, reverse=True):
        facts = _facts_of(folder)
        pack = _read_pack(folder, resolution) if facts is not None and facts.origin == origin else None
        if pack is not None:
            unreadable = [position for position, _ in pack.facts.corrupt]
            readable = np.setdiff1d(np.arange(len(pack.images)), unreadable)
            return KnownPixels(pack.images, pack.digests, pack.sums, readable)
    return None


def _arrays_digest(*arrays: np.ndarray) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _pack(
    found: EncodedImages,
    folder: Path,
    resolution: int,
    refusals: PackRefusals,
    on_progress: OnProgress | None,
) -> None:
    """Writes the pack into a temporary folder beside its own and renames that: no reader sees half a pack."""
    _remove_leftovers(folder)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".packing-{folder.name}-"))
    try:
        shape = (len(found.labels), resolution, resolution, 3)
        refusals.check_space(folder.parent, shape)
        pack = PackArrays(allocated(temporary / IMAGES, shape))
        try:
            with pack.file.syncing():
                odd = fill_pack(
                    pack,
                    found.read(),
                    max_pixels=found.max_pixels,
                    view=found.view,
                    known=_known_pixels(folder.parent, _origin(found, refusals.config.source), resolution),
                    on_progress=on_progress or (lambda done, total: None),
                )
        finally:
            pack.file.close()
        refusals.check_corrupt(odd.corrupt, total=shape[0])
        np.save(temporary / DIGESTS, pack.digests)
        np.save(temporary / CHECKSUMS, pack.sums)
        facts = PackFacts(
            labels=_labels_digest(found),
            arrays=_arrays_digest(pack.digests, pack.sums),
            corrupt=odd.corrupt,
            constant=odd.constant,
            origin=_origin(found, refusals.config.source),
            decoders=decoders(),
        )
        (temporary / META).write_text(facts.to_json())
        # On disk before the rename, so that a power cut cannot leave a complete name with missing bytes.
        for name in (DIGESTS, CHECKSUMS, META):
            with (temporary / name).open("rb") as file:
                os.fsync(file.fileno())
        shutil.rmtree(folder, ignore_errors=True)  # a damaged one
        temporary.rename(folder)
    except OSError as error:
        raise ValueError(
            f"{folder.parent}: packing failed: {error.strerror or error}; make room, or set XDG_CACHE_HOME "
            "to another folder"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _remove_leftovers(folder: Path) -> None:
    """Removes temporary folders of processes that were killed while they packed; its lock must be held."""
    for path in folder.parent.glob(f".packing-{folder.name}-*"):
        shutil.rmtree(path, ignore_errors=True)

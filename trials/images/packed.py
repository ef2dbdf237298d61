"""Packs: images decoded once to a memory-mapped array at one resolution, shared by all workers of a host.

Packs lie in training-aware-nas/packs under $XDG_CACHE_HOME or ~/.cache. They can be deleted at any time and
are made again when needed. A pack's name is a hash of its contents' origin (path, size and time or etag of
every file, the share of images, the resolution), so a changed source gets a new pack. `decode` says how
pictures become pixels.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trials.images.config import DataConfig, EncodedImages, find_images
from trials.images.pack_writer import PackFacts, checksums, fill_pack
from trials.images.splits import split_indices
from trials.log.durable_files import locked

PACKING_VERSION = 2  # part of every pack's name: to be raised when decoding changes
MAX_NAMED = 3  # unreadable pictures named in a message
FREE_SPACE_MARGIN = 1.1  # times a pack's size that must be free
IMAGES, META = "images.npy", "meta.json"

OnProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class TrialImages:
    """A search's images at one resolution, memory-mapped: images (N, R, R, 3) uint8.

    Labels are int64 (N,), or (N, L) padded with -1 where images have several. `corrupt` names unreadable
    pictures, which are neither in `train` nor in `minival`.
    """

    images: np.ndarray
    labels: np.ndarray
    train: np.ndarray  # indices of the images to train on
    minival: np.ndarray  # indices of the images to evaluate on
    classes: tuple[str, ...]
    corrupt: tuple[str, ...] = ()

    @property
    def num_classes(self) -> int:
        """The number of classes."""
        return len(self.classes)


def open_images(
    config: DataConfig,
    *,
    resolution: int,
    cache: Path | None = None,
    on_progress: OnProgress | None = None,
    verify: bool = False,
) -> TrialImages:
    """Opens the images of a configuration at one resolution, and packs them first if there is no pack yet.

    Several processes may ask at once: one packs, the others wait for it. With `verify` an existing pack is
    compared with its checksums, and made again if they differ.

    Raises:
        ValueError: the source, a picture or the disk does not allow it; the message says what to do.
    """
    found = find_images(config)
    folder = (cache or default_cache()) / _key(found, resolution)
    _make_cache(folder.parent)
    # Double-checked locking: whoever gets the lock looks again, as another process may have packed meanwhile.
    pack = _valid_pack(folder, found, resolution, verify=verify)
    if pack is None:
        with locked(folder.with_suffix(".lock")):
            pack = _valid_pack(folder, found, resolution, verify=verify)
            if pack is None:
                _pack(found, folder, resolution, config.max_corrupt, on_progress)
                pack = _valid_pack(folder, found, resolution)
                assert pack is not None, "a pack that was just written is valid"
    images, facts = pack
    _refuse_corrupt(facts.corrupt, total=len(images), allowed=config.max_corrupt)
    readable = np.setdiff1d(np.arange(len(images)), [position for position, _ in facts.corrupt])
    train, minival = split_indices(found.labels[readable], minival=config.minival, seed=config.split_seed)
    names = tuple(name for _, name in facts.corrupt)
    return TrialImages(images, found.labels, readable[train], readable[minival], found.classes, names)


def default_cache() -> Path:
    """The default folder of packs."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "training-aware-nas" / "packs"


def corrupt_sentence(names: tuple[str, ...], total: int) -> str:
    """A sentence with the number of unreadable pictures and the names of the first ones."""
    more = f", and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return f"{len(names):,} of {total:,} pictures cannot be read: {'; '.join(names[:MAX_NAMED])}{more}"


def _refuse_corrupt(corrupt: list[tuple[int, str]], *, total: int, allowed: float) -> None:
    if len(corrupt) > allowed * total:
        names = tuple(name for _, name in corrupt)
        raise ValueError(
            f"{corrupt_sentence(names, total)}. Remove or replace them; data.max_corrupt ({allowed:g} now) "
            "is the share that is left out without asking"
        )


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


def _valid_pack(
    folder: Path, found: EncodedImages, resolution: int, *, verify: bool = False
) -> tuple[np.ndarray, PackFacts] | None:
    """The images and facts of a complete pack of these images, or None."""
    try:
        facts = PackFacts.from_json((folder / META).read_text())
        images = np.load(folder / IMAGES, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, TypeError, KeyError):
        return None
    shape = (len(found.labels), resolution, resolution, 3)
    whole = images.shape == shape and images.dtype == np.uint8 and facts.labels == _labels_digest(found)
    if not whole or (verify and checksums(images) != facts.crc32):
        return None
    return images, facts


def _pack(
    found: EncodedImages, folder: Path, resolution: int, max_corrupt: float, on_progress: OnProgress | None
) -> None:
    """Writes the pack into a temporary folder beside its own and renames that: no reader sees half a pack."""
    _remove_leftovers(folder)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".packing-{folder.name}-"))
    try:
        images = _allocated(temporary / IMAGES, len(found.labels), resolution)
        corrupt = fill_pack(images, found.read(), on_progress or (lambda done, total: None))
        _refuse_corrupt(corrupt, total=len(images), allowed=max_corrupt)
        images.flush()
        facts = PackFacts(labels=_labels_digest(found), corrupt=corrupt, crc32=checksums(images))
        (temporary / META).write_text(facts.to_json())
        # On disk before the rename, so that a power cut cannot leave a complete name with missing bytes.
        for name in (IMAGES, META):
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


def _allocated(path: Path, count: int, resolution: int) -> np.memmap:
    """An array on disk (count, R, R, 3) uint8 whose space is reserved.

    Without the reservation, writing into a memory map on a full disk would kill the process by a signal.

    Raises:
        ValueError: there is not enough free space.
    """
    needed = count * resolution * resolution * 3
    free = shutil.disk_usage(path.parent).free
    if free < FREE_SPACE_MARGIN * needed:
        raise ValueError(
            f"{path.parent.parent}: packing {count:,} images at {resolution} px needs {needed / 1e9:.1f} GB "
            f"and {free / 1e9:.1f} GB are free; make room, set XDG_CACHE_HOME to another folder, or use "
            "fewer images (data.fraction)"
        )
    shape = (count, resolution, resolution, 3)
    images = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return images

"""Images decoded once to one memory-mapped array of a resolution, shared by every worker of a host.

Every image becomes RGB and is resized to a square with Pillow's bilinear filter (antialiased; the aspect
ratio is not kept, nothing is cut off). Packs lie in $XDG_CACHE_HOME or ~/.cache, under
training-aware-nas/packs, and can be deleted at any time: they are made again.
"""

import fcntl
import hashlib
import io
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from trials.data import DataConfig, EncodedImages, find_images, split_indices

PACKING_VERSION = 1
CHUNK = 512
MAX_NAMED = 3  # corrupt images named in an error
MAX_SIDE = 20_000  # pixels; larger pictures are refused before they are decoded
FREE_SPACE_MARGIN = 1.1


@dataclass(frozen=True)
class TrialImages:
    """A search's images at one resolution, memory-mapped: images (N, R, R, 3) uint8 and labels (N,) int64."""

    images: np.ndarray
    labels: np.ndarray
    train: np.ndarray  # indices of the images to train on
    minival: np.ndarray  # and of those to judge by
    classes: tuple[str, ...]

    @property
    def num_classes(self) -> int:
        return len(self.classes)


def open_images(
    config: DataConfig,
    *,
    resolution: int,
    cache: Path | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> TrialImages:
    """The images of a configuration at one resolution, packed now if they are not yet.

    Several processes may ask at once: one packs, the others wait for it.

    Raises:
        ValueError: the source, an image or the disk does not allow it; says where and what to do.
    """
    found = find_images(config)
    train, minival = split_indices(found.labels, minival=config.minival, seed=config.split_seed)
    folder = (cache or default_cache()) / _key(found, resolution)
    folder.parent.mkdir(parents=True, exist_ok=True)
    if (images := _valid_pack(folder, found, resolution)) is None:
        with _locked(folder.with_suffix(".lock")):
            images = _valid_pack(folder, found, resolution)
            if images is None:
                _pack(found, folder, resolution, on_progress or (lambda done, total: None))
                images = _valid_pack(folder, found, resolution)
                assert images is not None, "a pack that was just written is valid"
    return TrialImages(images, found.labels, train, minival, found.classes)


def default_cache() -> Path:
    """Where packs lie unless told otherwise."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "training-aware-nas" / "packs"


def _key(found: EncodedImages, resolution: int) -> str:
    text = json.dumps([PACKING_VERSION, resolution, found.identity])
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _facts(found: EncodedImages, resolution: int) -> dict[str, Any]:
    """What a pack must say of itself to be the right one."""
    return {
        "packing_version": PACKING_VERSION,
        "shape": [len(found.labels), resolution, resolution, 3],
        "labels": hashlib.sha256(np.ascontiguousarray(found.labels).tobytes()).hexdigest(),
    }


def _valid_pack(folder: Path, found: EncodedImages, resolution: int) -> np.ndarray | None:
    """The pack's images, or None where there is no whole pack."""
    facts = _facts(found, resolution)
    try:
        if json.loads((folder / "meta.json").read_text()) != facts:
            return None
        images = np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    whole = list(images.shape) == facts["shape"] and images.dtype == np.uint8
    return images if whole else None


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # the kernel lets go when the holder dies
        yield


def _pack(
    found: EncodedImages, folder: Path, resolution: int, on_progress: Callable[[int, int], None]
) -> None:
    total = len(found.labels)
    needed = total * resolution * resolution * 3
    free = shutil.disk_usage(folder.parent).free
    if free < FREE_SPACE_MARGIN * needed:
        raise ValueError(
            f"{folder.parent}: packing {total:,} images at {resolution} px needs {needed / 1e9:.1f} GB and "
            f"{free / 1e9:.1f} GB are free; make room, or use fewer images (data.fraction)"
        )
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".packing-"))
    try:
        images = np.lib.format.open_memmap(
            temporary / "images.npy", mode="w+", dtype=np.uint8, shape=(total, resolution, resolution, 3)
        )
        corrupt: list[str] = []
        done = 0
        source = found.read()
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            while chunk := list(islice(source, CHUNK)):
                decoded = pool.map(lambda item: _decoded(item[0], item[1], resolution), chunk)
                for result in decoded:
                    if isinstance(result, str):
                        corrupt.append(result)
                    else:
                        images[done] = result
                    done += 1
                on_progress(done, total)
        if corrupt:
            more = f", and {len(corrupt) - MAX_NAMED} more" if len(corrupt) > MAX_NAMED else ""
            raise ValueError(
                f"{len(corrupt)} of {total:,} images cannot be read: {'; '.join(corrupt[:MAX_NAMED])}{more}. "
                "Remove or replace them"
            )
        images.flush()
        (temporary / "meta.json").write_text(json.dumps(_facts(found, resolution)))
        for name in ("images.npy", "meta.json"):
            with (temporary / name).open("rb") as file:
                os.fsync(file.fileno())
        shutil.rmtree(folder, ignore_errors=True)  # a damaged one
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _decoded(name: str, encoded: Any, resolution: int) -> np.ndarray | str:
    """The image as (R, R, 3) uint8, or what is wrong with it."""
    try:
        if isinstance(encoded, np.ndarray):
            picture = Image.fromarray(encoded)
        else:
            if not encoded:
                return f"{name} (no bytes)"
            picture = Image.open(io.BytesIO(encoded))
        if max(picture.size) > MAX_SIDE:
            return f"{name} ({picture.size[0]} x {picture.size[1]} px; at most {MAX_SIDE:,} a side)"
        picture = picture.convert("RGB")
        if picture.size != (resolution, resolution):
            picture = picture.resize((resolution, resolution), Image.Resampling.BILINEAR)
        return np.asarray(picture)
    except Exception as error:  # Pillow raises many kinds for broken files
        return f"{name} ({type(error).__name__}: {str(error)[:80]})"

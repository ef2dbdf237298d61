"""Checksums of a pack's pixels, one for each image, compared when the image is first used."""

import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np

META = "meta.json"  # without it a pack is none
BLOCK = 4_096  # images that a thread checks at once


class DamagedPackError(ValueError):
    """An image is not as it was packed: the disk or the memory is at fault."""


def checksums(images: np.ndarray) -> np.ndarray:
    """The CRC-32 checksum of every image, (N,) uint32."""
    found = np.empty(len(images), np.uint32)

    def fill(start: int) -> None:
        for i in range(start, min(start + BLOCK, len(images))):
            found[i] = zlib.crc32(np.ascontiguousarray(images[i]).data)  # lets other threads compute

    with ThreadPoolExecutor() as pool:
        list(pool.map(fill, range(0, len(images), BLOCK)))
    return found


class PixelChecks:
    """Compares the images of a pack with their checksums, each once: a large pack is not read twice."""

    def __init__(self, images: np.ndarray, expected: np.ndarray, folder: Path) -> None:
        self._images, self._expected, self._folder = images, expected, folder
        self._unchecked = np.ones(len(images), bool)

    def all_are_whole(self) -> bool:
        """Checks all images at once; True if each is as it was packed."""
        if not np.array_equal(checksums(self._images), self._expected):
            return False
        self._unchecked[:] = False
        return True

    def check(self, indices: np.ndarray) -> None:
        """Checks the images at these indices, (B,), as far as they are used for the first time.

        Raises:
            DamagedPackError: one is damaged. The pack is made again at the next start.
        """
        fresh = indices[self._unchecked[indices]]
        for i in fresh.tolist():
            if zlib.crc32(np.ascontiguousarray(self._images[i]).data) != self._expected[i]:
                with suppress(OSError):
                    (self._folder / META).unlink()
                raise DamagedPackError(
                    f"{self._folder}: image {i:,} is not as it was packed: the disk or the memory is at "
                    "fault. The pack is made again at the next start"
                )
        self._unchecked[fresh] = False

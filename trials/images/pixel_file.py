"""The pixels of a pack while it is written: a .npy file, to which several processes write by position.

They are written by `pwrite`: through a memory map each new page costs a fault, is zeroed first, and takes a
picture of 128 px three to seven times as long.
"""

import os
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

SECONDS_BETWEEN_SYNCS = 0.2


class PixelFile:
    """Writes rows of an array (N, R, R, 3) uint8 into its file, whose space is reserved.

    Args:
        images: the array, memory-mapped from its whole file.
    """

    def __init__(self, images: np.memmap) -> None:
        self.path = str(images.filename)
        self.count, self.resolution = images.shape[:2]
        self._start, self._bytes = images.offset, images[:1].nbytes
        self._file = os.open(self.path, os.O_RDWR)

    def write(self, position: int, pixels: np.ndarray) -> int:
        """Writes one picture (R, R, 3), and returns the checksum of its pixels (CRC-32)."""
        data = np.ascontiguousarray(pixels).data.cast("B")
        assert len(data) == self._bytes, "a picture of another size"
        checksum, offset, rest = zlib.crc32(data), self._start + position * self._bytes, data
        while len(rest):
            written = os.pwrite(self._file, rest, offset)
            rest, offset = rest[written:], offset + written
        return checksum

    @contextmanager
    def syncing(self) -> Iterator[None]:
        """Brings what is written to the disk meanwhile, so that it is not waited for at the end.

        It ends with all on the disk.

        Raises:
            OSError: the disk does not take it.
        """
        done = threading.Event()

        def sync() -> None:
            while not done.wait(SECONDS_BETWEEN_SYNCS):
                try:
                    os.fsync(self._file)
                except OSError:  # found again at the end
                    return

        thread = threading.Thread(target=sync, name="sync", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
        os.fsync(self._file)

    def close(self) -> None:
        """Closes the file."""
        os.close(self._file)


def allocated(path: Path, shape: tuple[int, ...]) -> np.memmap:
    """An array on disk (N, R, R, 3) uint8 whose space is reserved.

    Without the reservation, writing into a memory map on a full disk would kill the process by a signal.
    """
    images = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return images

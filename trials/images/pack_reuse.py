"""Pixels of an earlier pack, for those pictures of a changed source that are as they were."""

import zlib

import numpy as np


class KnownPixels:
    """Decoded pictures by the digest of their encoded ones, each compared with its checksum when it is taken.

    Args:
        images: (N, R, R, 3) uint8.
        digests: (N,) uint64 of the encoded pictures.
        sums: (N,) uint32, CRC-32 checksums of the pixels.
        readable: (M,) positions of the pictures that have pixels.
    """

    def __init__(
        self, images: np.ndarray, digests: np.ndarray, sums: np.ndarray, readable: np.ndarray
    ) -> None:
        self._images, self._sums = images, sums
        self._positions = readable[np.argsort(digests[readable], kind="stable")]
        self._digests = digests[self._positions]  # ascending

    def of(self, digest: int) -> np.ndarray | None:
        """The pixels (R, R, 3) of a picture of this digest; None where there are none, or damaged ones."""
        place = int(np.searchsorted(self._digests, np.uint64(digest)))
        if place == len(self._digests) or int(self._digests[place]) != digest:
            return None
        position = self._positions[place]
        pixels = np.ascontiguousarray(self._images[position])
        return pixels if zlib.crc32(pixels.data) == self._sums[position] else None

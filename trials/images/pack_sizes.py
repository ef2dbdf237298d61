"""The packs of images that are needed at several sizes: one for each size, or the largest alone.

Small sets have a pack for each size, resized once by Pillow. Of a large set all of them would take more room
than a host has, so only the largest size is stored, and smaller ones are resized when a batch is read.
"""

import math
from collections.abc import Sequence

MOST_BYTES = 100e9  # of the packs of all sizes together; more, and only the largest is stored


def stored_size(resolution: int, sizes: Sequence[int], *, count: int) -> int:
    """The resolution of the pack from which images of a resolution come.

    Args:
        sizes: all resolutions that these images are needed at; may be empty where it is the only one.
        count: of the images.
    """
    needed = {*sizes, resolution}
    if sum(pack_bytes(count, size) for size in needed) <= MOST_BYTES:
        return resolution
    return max(needed)


def stored_sizes(sizes: Sequence[int], *, count: int) -> tuple[int, ...]:
    """The resolutions of the packs that are stored of images needed at these sizes, ascending."""
    return tuple(sorted({stored_size(size, sizes, count=count) for size in sizes}))


def pack_bytes(count: int, resolution: int) -> int:
    """Bytes of the pixels of a pack."""
    return math.prod((count, resolution, resolution, 3))

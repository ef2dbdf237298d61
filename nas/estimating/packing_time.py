"""Seconds to decode a search's images before its first trial, by a few of them that are decoded now."""

import time
from collections.abc import Callable, Sequence
from itertools import islice

import numpy as np

from trials.devices.device import available_cores
from trials.images.chosen_images import EncodedImages
from trials.images.decode import UnreadablePictureError, decode
from trials.images.pack_writer import MIN_FOR_PROCESSES

SAMPLE = 48  # pictures, the first ones: a Parquet file gives others only with all before them
SECONDS = 2.0  # after which no further one is decoded


def packing_seconds(
    found: EncodedImages,
    resolutions: Sequence[int],
    *,
    cores: int | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Seconds to decode all images at all resolutions (pixels) on these cores, by default all there are.

    Few are decoded by one process, and more by one for each core, as when they are packed. Pictures that
    cannot be read take their time, too, and are not reported here.
    """
    begun, done = clock(), 0
    for _, picture in islice(found.read(), SAMPLE):
        try:
            encoded = picture() if callable(picture) else picture
            for resolution in resolutions:
                if not isinstance(encoded, np.ndarray):
                    decode(encoded, resolution, max_pixels=found.max_pixels)
        except (OSError, UnreadablePictureError):
            pass
        done += 1
        if clock() - begun > SECONDS:
            break
    count = len(found.labels)
    processes = (cores or len(available_cores())) if count >= MIN_FOR_PROCESSES else 1
    return (clock() - begun) / max(done, 1) * count / processes

"""A process that decodes pictures into a pack: python -m trials.images.pack_process FILE …

MAX_PIXELS, CROP and INTERPOLATION (of a `PictureView`) follow the file.

Small pictures take as long in Python as in C, and threads share one interpreter: two threads are slower than
one (CIFAR-10 at 32 px on 2 cores: 7,400 against 10,600 images per second).

Protocol: a message on standard input is the number of pictures and, for each, its position, its length and
its bytes (numbers as 8 bytes, little-endian). The answer on standard output is one line of JSON: position and
reason of every picture that could not be read, positions of those of one colour, and position and checksum of
the pixels of all that were read. The process ends when its input does.
"""

import json
import struct
import sys
import warnings
from collections.abc import Iterable
from typing import IO

import numpy as np

from trials.images.decode import UnreadablePictureError, decode, is_constant
from trials.images.pixel_file import PixelFile
from trials.pictures import PictureView

NUMBER = struct.Struct("<Q")


def send(stream: IO[bytes], pictures: Iterable[tuple[int, bytes]]) -> None:
    """Writes one message with these (position, bytes)."""
    frames = [part for position, data in pictures for part in (_number(position), _number(len(data)), data)]
    stream.write(_number(len(frames) // 3) + b"".join(frames))
    stream.flush()


def main() -> None:
    """Answers messages until the input ends."""
    warnings.simplefilter("ignore")  # Pillow's, about odd metadata
    file = PixelFile(np.load(sys.argv[1], mmap_mode="r", allow_pickle=False))
    max_pixels, view = int(sys.argv[2]), PictureView(sys.argv[3], sys.argv[4])  # type: ignore[arg-type]
    stream = sys.stdin.buffer
    while header := stream.read(NUMBER.size):
        unreadable, constant, sums = [], [], []
        for _ in range(NUMBER.unpack(header)[0]):
            position, length = (NUMBER.unpack(stream.read(NUMBER.size))[0] for _ in range(2))
            try:
                pixels = decode(stream.read(length), file.resolution, max_pixels=max_pixels, view=view)
            except UnreadablePictureError as error:
                unreadable.append([position, str(error)])
                continue
            sums.append([position, file.write(position, pixels)])
            if is_constant(pixels):
                constant.append(position)
        print(json.dumps([unreadable, constant, sums]), flush=True)


def _number(value: int) -> bytes:
    return NUMBER.pack(value)


if __name__ == "__main__":
    main()

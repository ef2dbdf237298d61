"""JPEG pictures: decoded at a fraction of their size where they are much larger, and faster with simplejpeg.

A JPEG decoder can leave out high frequencies, and gives a picture of 1/2, 1/4 or 1/8 of the size in less time
(DCT scaling). That is an antialiasing filter of its own, sharper than the bilinear one: the closer the result
is to the wanted size, the more the pixels differ from those of the whole picture, resized: most of all where
the picture is exactly twice, four or eight times as large. So the result stays `LEAST_RATIO` times as large
as wanted, and the rest of the way is the bilinear filter's (docs/data.md states what remains).

simplejpeg (optional) calls the same library as Pillow, libjpeg-turbo, without the detours that a small
picture pays for. It is used only where it gives the very same pixels, which is tried out on pictures made for
it: so no pixel depends on what is installed.
"""

import io
import warnings
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import PIL
from PIL import Image

SCALES = (8, 4, 2)  # that every libjpeg decodes at a fraction 1/scale of the size
LEAST_RATIO = 1.25  # of the decoded size to the wanted one
START = b"\xff\xd8\xff"  # of a JPEG file
APP1, SCAN = 0xE1, 0xDA  # segments: of EXIF and XMP, which may say how a picture is turned; of the pixels
PLAIN = ("YCbCr", "Gray")  # colours of which both libraries make the same RGB


def scale_of(size: tuple[int, int], resolution: int) -> int:
    """The scale, 1, 2, 4 or 8, to decode a picture of this size at that is wanted at `resolution`."""
    return next((scale for scale in SCALES if min(size) >= LEAST_RATIO * scale * resolution), 1)


def scale_by_pillow(picture: Image.Image, resolution: int) -> None:
    """Makes Pillow decode a picture that it has opened, and not yet loaded, at its scale."""
    if picture.format in ("JPEG", "MPO") and picture.mode in ("RGB", "L"):
        scale = scale_of(picture.size, resolution)
        picture.draft(None, (picture.size[0] // scale, picture.size[1] // scale))


def decoded(encoded: bytes, resolution: int, *, max_pixels: int) -> np.ndarray | None:
    """The pixels (H, W, 3) uint8 of a plain JPEG picture at its scale; None of what Pillow has to decode."""
    library = accelerator()
    if library is None or not _is_upright(encoded):
        return None
    try:
        height, width, colours, _ = library.decode_jpeg_header(encoded)
        if colours not in PLAIN or height * width > max_pixels:
            return None
        return _by(library, encoded, (width, height), scale_of((width, height), resolution))
    except Exception:  # damaged, or of a kind that it does not know; Pillow says what is wrong
        return None


def decoders() -> str:
    """All that decides what pixels a picture has, and what made them: recorded with a pack."""
    library = accelerator()
    by = "" if library is None else f", simplejpeg {getattr(library, '__version__', '')}".rstrip()
    return f"Pillow {PIL.__version__}{by}; JPEG scaled from {LEAST_RATIO * SCALES[-1]:g} times the size"


@cache
def accelerator() -> ModuleType | None:
    """simplejpeg; None where it is not installed, or gives other pixels than the installed Pillow."""
    try:
        import simplejpeg
    except Exception:  # built for another Python, or for another numpy
        return None
    try:
        return simplejpeg if all(_is_equal(simplejpeg, each) for each in _trial_pictures()) else None
    except Exception:
        return None


def _is_equal(library: ModuleType, encoded: bytes) -> bool:
    """True if a library decodes a picture as Pillow does, at each scale."""
    for scale in (*SCALES, 1):
        with Image.open(io.BytesIO(encoded)) as picture:
            size = picture.size
            picture.draft(None, (size[0] // scale, size[1] // scale))
            expected = np.asarray(picture.convert("RGB"))
        if not np.array_equal(_by(library, encoded, size, scale), expected):
            return False
    return True


def _by(library: ModuleType, encoded: bytes, size: tuple[int, int], scale: int) -> np.ndarray:
    """A library's pixels (H, W, 3) of a picture of this size (width, height).

    It chooses the smallest of its fractions at which the picture is at least this large.
    """
    width, height = (-(-length // scale) for length in size)
    pixels: np.ndarray = library.decode_jpeg(encoded, "RGB", min_height=height, min_width=width)
    if pixels.shape[:2] != (height, width):
        raise ValueError("decoded at another scale")
    return pixels


def _is_upright(encoded: bytes) -> bool:
    """True of a JPEG file without EXIF and XMP data; Pillow reads what those say."""
    if not encoded.startswith(START):
        return False
    at, end = 2, len(encoded) - 4
    while at < end and encoded[at] == 0xFF:
        kind = encoded[at + 1]
        if kind == SCAN:
            return True
        if kind == APP1:
            return False
        at += 2 + (encoded[at + 2] << 8 | encoded[at + 3])
    return False


def _trial_pictures() -> list[bytes]:
    """Waves and noise, in each way in which JPEG stores colours."""
    y, x = np.mgrid[:83, :99]
    waves = np.stack([np.sin(x / 3 + y / 5), np.cos(x * y / 99), np.sin(y / 2)], axis=-1)
    noise = (x * x * 31 + x * y * 7 + y * y * 17) % 97  # cheaper than a random generator's first numbers
    picture = Image.fromarray((128 + 90 * waves + noise[..., None] - 48).clip(0, 255).astype(np.uint8))
    ways: list[dict[str, Any]] = [{"subsampling": 0}, {"subsampling": 1}, {"subsampling": 2}]
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for options in (*ways, {"subsampling": 2, "progressive": True}):
            found.append(io.BytesIO())
            picture.save(found[-1], "JPEG", quality=80, **options)
        found.append(io.BytesIO())
        picture.convert("L").save(found[-1], "JPEG", quality=80)
    return [file.getvalue() for file in found]

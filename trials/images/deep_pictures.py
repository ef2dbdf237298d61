"""Pictures of more than 8 bits a sample: which of their values is white.

A format says it by itself (16 bits: 65,535), or in a tag (TIFF: MaxSampleValue, SMinSampleValue and
SMaxSampleValue). But 8 or 12 bits of data are often stored in 16 without a word, and would come out black. A
picture that uses less than a sixteenth of its range is therefore refused: it may be dark, or anything else.
"""

import struct
from typing import IO

import numpy as np
from PIL import Image, TiffImagePlugin

BITS, COLOUR_MEANING, MAX_VALUE, SAMPLE_FORMAT, FLOAT_MIN, FLOAT_MAX = (
    258,
    262,
    281,
    339,
    340,
    341,
)  # TIFF tags
WHITE_IS_ZERO = 0  # of COLOUR_MEANING
UNSIGNED = 1  # of SAMPLE_FORMAT
PNG_DEPTH_AT = 24  # the byte of a PNG file that says the bits of a sample
LEAST_SHARE = 1 / 16  # of the range, which the largest value has to reach


class UnknownRangeError(ValueError):
    """Nothing says which of a picture's values is white."""


def is_deep(picture: Image.Image) -> bool:
    """True if a picture, as it was opened, has more than 8 bits a sample, or signed ones."""
    if picture.mode[0] in "IF":
        return True
    if isinstance(picture, TiffImagePlugin.TiffImageFile):
        is_signed = any(kind != UNSIGNED for kind in picture.tag_v2.get(SAMPLE_FORMAT, ()))
        return is_signed or max(picture.tag_v2.get(BITS, (8,)), default=8) > 8
    stream = getattr(picture, "fp", None)
    return picture.format == "PNG" and stream is not None and _png_depth(stream) > 8


def _png_depth(stream: IO[bytes]) -> int:
    here = stream.tell()
    stream.seek(PNG_DEPTH_AT)
    depth = stream.read(1)
    stream.seek(here)
    return int(struct.unpack("B", depth)[0]) if depth else 8


def check_range(largest: float, high: float, *, is_said: bool) -> None:
    """Refuses a picture whose values look like another range than the one from its file.

    Args:
        largest: of its values.
        high: the value of white, by the file's bits or, `is_said`, by what else it says.

    Raises:
        UnknownRangeError: they use less than a sixteenth of the range in bits, or are beyond the said one.
    """
    if is_said and not largest <= high:
        raise UnknownRangeError(
            f"values up to {largest:,.0f}, but the file says that {high:,.0f} is white; convert it to 8 bits"
        )
    if not is_said and largest < LEAST_SHARE * high:
        bits, below = round(np.log2(high + 1)), f"{largest + 1:,.0f}"
        raise UnknownRangeError(
            f"{bits} bits a sample, but all below {below}: nothing says which is white; convert it to 8 bits"
        )


def scaled_to_bytes(picture: Image.Image, opened: Image.Image) -> np.ndarray:
    """Grey of more than 8 bits (mode I;16, I or F) as (H, W) uint8, rounded.

    Args:
        picture: the pixels, upright.
        opened: the picture as it was opened, with its format and tags.

    Raises:
        UnknownRangeError: nothing says the range.
    """
    values = np.asarray(picture).astype(np.float64)
    low, high, is_said = range_of(opened)
    if not np.isfinite(values).all():
        raise UnknownRangeError("values that are no numbers (NaN) or infinite")
    if values.any():
        check_range(float(values.max()), high, is_said=is_said)
    grey = (values - low) / (high - low)
    if _tags(opened).get(COLOUR_MEANING) == WHITE_IS_ZERO:
        grey = 1.0 - grey
    transparent = opened.info.get("transparency")
    if isinstance(transparent, int):  # one grey that is transparent: laid over white
        grey[values == transparent] = 1.0
    return (255.0 * grey.clip(0.0, 1.0) + 0.5).astype(np.uint8)


def range_of(opened: Image.Image) -> tuple[float, float, bool]:
    """The values of black and white, and whether the file says more about them than its number of bits.

    Raises:
        UnknownRangeError: it does not even have bits that say it (floats, signed or 32-bit numbers).
    """
    tags = _tags(opened)
    if FLOAT_MAX in tags and _is_one(tags[FLOAT_MAX]):
        low, high = float(_first(tags.get(FLOAT_MIN, 0))), float(_first(tags[FLOAT_MAX]))
        if low < high < np.inf:
            return low, high, True
    if opened.mode == "F":
        raise UnknownRangeError("floats, and nothing says which is white; convert it to 8 bits")
    if tags and (_first(tags.get(SAMPLE_FORMAT, UNSIGNED)) != UNSIGNED or _first(tags.get(BITS, 16)) > 16):
        raise UnknownRangeError(
            "signed or 32-bit numbers, and nothing says which is white; convert it to 8 bits"
        )
    if MAX_VALUE in tags and _is_one(tags[MAX_VALUE]) and _first(tags[MAX_VALUE]) > 0:
        return 0.0, float(_first(tags[MAX_VALUE])), True
    # Pillow's 32-bit pictures of other formats are PPM's, which it has scaled to 16 bits.
    return 0.0, float(2 ** int(_first(tags.get(BITS, 16))) - 1), opened.format == "PPM"


def _tags(opened: Image.Image) -> dict[int, object]:
    is_tiff = isinstance(opened, TiffImagePlugin.TiffImageFile)
    return dict(opened.tag_v2) if is_tiff else {}  # type: ignore[attr-defined]


def _first(value: object) -> float:
    return float(value[0] if isinstance(value, tuple) else value)  # type: ignore[arg-type]


def _is_one(value: object) -> bool:
    """True if all channels have one value; others are what occurs in each, and not its range."""
    return not isinstance(value, tuple) or len(set(value)) == 1

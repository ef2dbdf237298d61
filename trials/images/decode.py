"""Decodes one encoded picture to a square of RGB pixels, whatever its format, mode or orientation.

| property of the picture | conversion |
|---|---|
| EXIF orientation | turned and mirrored to be upright |
| grey | repeated for three channels; of 16 bits the upper 8 are kept |
| palette, CMYK | converted by Pillow |
| transparency (alpha, or a transparent palette colour) | laid over white |
| animation | the first frame |

The picture is then resized to the square with Pillow's antialiased bilinear filter. The aspect ratio is not
kept, and nothing is cropped.
"""

import io

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

# Pillow reads more formats, but some start other programs (EPS: Ghostscript) or have no size in pixels.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
MAX_SIDE = 20_000  # pixels; larger pictures are refused before they are decoded
WHITE = (255, 255, 255, 255)


class UnreadablePictureError(ValueError):
    """The picture cannot be decoded; the message gives the reason in a few words."""


def decode(encoded: bytes, resolution: int) -> np.ndarray:
    """Decodes a picture to (R, R, 3) uint8, R being `resolution`.

    Raises:
        UnreadablePictureError: it is empty, too large, truncated, or no picture.
    """
    if not encoded:
        raise UnreadablePictureError("no bytes")
    try:
        picture = Image.open(io.BytesIO(encoded), formats=FORMATS)
        if max(picture.size) > MAX_SIDE:
            width, height = picture.size
            raise UnreadablePictureError(f"{width:,} x {height:,} px; at most {MAX_SIDE:,} a side")
        return resized(rgb(picture), resolution)
    except UnreadablePictureError:
        raise
    except Exception as error:  # Pillow raises many kinds for broken files
        raise UnreadablePictureError(_reason(error)) from error


def rgb(picture: Image.Image) -> Image.Image:
    """Converts a picture to RGB, upright and without transparency."""
    try:
        picture = ImageOps.exif_transpose(picture)
    except Exception:  # metadata that does not parse says nothing about the pixels
        picture.load()
    if picture.mode.startswith("I"):
        return Image.fromarray(_upper_bits(picture)).convert("RGB")
    if picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info:
        opaque = Image.new("RGBA", picture.size, WHITE)
        return Image.alpha_composite(opaque, picture.convert("RGBA")).convert("RGB")
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def resized(picture: Image.Image, resolution: int) -> np.ndarray:
    """Resizes an RGB picture to (R, R, 3) uint8."""
    if picture.size != (resolution, resolution):
        picture = picture.resize((resolution, resolution), Image.Resampling.BILINEAR)
    return np.asarray(picture)


def _upper_bits(picture: Image.Image) -> np.ndarray:
    return (np.asarray(picture).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not a picture"
    if isinstance(error, Image.DecompressionBombError):
        return "too many pixels"
    return (str(error).splitlines() or [type(error).__name__])[0][:80]

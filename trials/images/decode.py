"""Decodes one encoded picture of any format, mode and orientation to a square of RGB pixels.

| property of the picture | conversion |
|---|---|
| EXIF orientation | turned and mirrored to be upright |
| grey | repeated for three channels |
| more than 8 bits a sample | scaled to 0-255 from the range that the format says: see `deep_pictures` |
| palette, CMYK, YCbCr | converted by Pillow |
| transparency (alpha, or a transparent colour) | laid over white |
| animation | the first frame |

The picture is then resized to the square with one of Pillow's antialiased filters, mostly the bilinear one.
The aspect ratio is not kept, and nothing is cropped, unless a view asks for the picture's centre. JPEG
pictures that are much larger are decoded at a fraction of their size: see `jpeg`.
"""

import io

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError, features

from search_spaces.settings.sentences import first_line
from trials.images import jpeg
from trials.images.deep_colours import DeepColours
from trials.images.deep_pictures import UnknownRangeError, is_deep, scaled_to_bytes
from trials.pictures import SQUASHED, Interpolation, PictureView

# Pillow reads more formats, but some start other programs (EPS: Ghostscript) or have no size in pixels.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", *(("AVIF",) if features.check("avif") else ()))
SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
    | {".ppm", ".pgm", ".pbm", ".pnm"}
    | ({".avif"} if "AVIF" in FORMATS else set())
)
KINDS_READ = ".jpg, .png, .webp, .bmp, .gif, .tif, .ppm and the like"
MAX_PIXELS = 64_000_000  # of a picture, unless the configuration says otherwise
TOO_LARGE = "too large: at most"  # begins the reason of a picture beyond the limit, in any message
WHITE = (255, 255, 255, 255)
FILTERS: dict[Interpolation, Image.Resampling] = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


class UnreadablePictureError(ValueError):
    """The picture cannot be decoded; the message gives the reason in a few words."""


def decode(
    encoded: bytes, resolution: int, *, max_pixels: int = MAX_PIXELS, view: PictureView = SQUASHED
) -> np.ndarray:
    """Decodes a picture to (R, R, 3) uint8, R being `resolution`.

    Raises:
        UnreadablePictureError: it is empty, too large, truncated, or no picture, or nothing says the range of
            its values.
    """
    if not encoded:
        raise UnreadablePictureError("no bytes")
    shorter = view.shorter_side(resolution)
    pixels = jpeg.decoded(encoded, shorter, max_pixels=max_pixels)
    if pixels is not None:
        is_right = pixels.shape[:2] == (resolution, resolution) and view.crop == "squash"
        return pixels if is_right else resized(Image.fromarray(pixels), resolution, view)
    try:
        picture = Image.open(io.BytesIO(encoded), formats=FORMATS)
        width, height = picture.size
        if width * height > max_pixels:
            raise UnreadablePictureError(
                f"{width:,} x {height:,} px is {TOO_LARGE} {max_pixels:,} px are read"
            )
        jpeg.scale_by_pillow(picture, shorter)
        return resized(rgb(picture), resolution, view)
    except UnreadablePictureError:
        raise
    except Image.DecompressionBombError:
        raise UnreadablePictureError(f"{TOO_LARGE} {max_pixels:,} px are read") from None
    except Exception as error:  # Pillow raises many kinds for broken files
        raise UnreadablePictureError(_reason(error)) from error


def rgb(picture: Image.Image) -> Image.Image:
    """Converts a picture to RGB, upright and without transparency."""
    if not is_deep(picture):
        return _over_white(_upright(picture))
    if picture.mode[0] in "IF":
        # A transposed copy has no format, and no tags.
        return Image.fromarray(scaled_to_bytes(_upright(picture), picture)).convert("RGB")
    colours = DeepColours.of(picture)
    return Image.fromarray(colours.to_bytes(tuple(map(_upright, colours.halves))))


def _upright(picture: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(picture)
    except Exception:  # metadata that does not parse says nothing about the pixels
        picture.load()
        return picture


def _over_white(picture: Image.Image) -> Image.Image:
    if picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info:
        opaque = Image.new("RGBA", picture.size, WHITE)
        picture = Image.alpha_composite(opaque, picture.convert("RGBA"))
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def resized(picture: Image.Image, resolution: int, view: PictureView = SQUASHED) -> np.ndarray:
    """Crops as the view says, and resizes an RGB picture to (R, R, 3) uint8."""
    if (box := view.box(picture.size, resolution)) is not None:
        picture = picture.crop(box)
    if picture.size != (resolution, resolution):
        picture = picture.resize((resolution, resolution), FILTERS[view.interpolation])
    return np.asarray(picture)


def is_constant(pixels: np.ndarray) -> bool:
    """True if all pixels of a picture, (R, R, 3), have one colour."""
    first, middle = pixels[0, 0], pixels[len(pixels) // 2, len(pixels) // 2]
    # Two that differ, as nearly always, spare the comparison of all.
    return first.tobytes() == middle.tobytes() and bool((pixels == first).all())


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not a picture"
    if isinstance(error, UnknownRangeError):
        return str(error)
    return first_line(error)[:80]

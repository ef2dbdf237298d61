"""Pictures of every format, mode and orientation become the pixels that Pillow's own steps give."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from pictures import encoded, picture, saved
from PIL import Image

from trials.images.decode import UnreadablePictureError, decode

BILINEAR = Image.Resampling.BILINEAR


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP"])
@pytest.mark.parametrize("resolution", [7, 12, 20, 33])
def test_decoded_pixels_are_those_of_pillows_bilinear_resize(kind: str, resolution: int) -> None:
    data = encoded(1, kind=kind)
    expected = Image.open(io.BytesIO(data)).convert("RGB").resize((resolution, resolution), BILINEAR)
    assert np.array_equal(decode(data, resolution), np.asarray(expected))


def test_a_picture_of_the_right_size_is_not_touched() -> None:
    image = picture(0, (16, 16))
    assert np.array_equal(decode(saved(image), 16), np.asarray(image))


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK"])
def test_grey_palette_and_cmyk_are_converted_as_pillow_does(mode: str) -> None:
    data = saved(picture(3, (16, 16), mode), "JPEG" if mode == "CMYK" else "PNG")
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    assert np.array_equal(decode(data, 16), expected)


def test_pictures_of_16_bits_keep_the_upper_eight() -> None:
    values = np.arange(256, dtype=np.uint16).reshape(16, 16) * 257
    data = saved(Image.fromarray(values))
    assert np.array_equal(decode(data, 16)[..., 0], (values >> 8).astype(np.uint8))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_pictures_are_laid_over_white(mode: str) -> None:
    if mode == "P":
        image = Image.new("P", (8, 8), 1)
        image.putpalette([255, 0, 0, 0, 255, 0] + [0] * 756)
        image.paste(0, (0, 0, 4, 8))
        data = saved(image, transparency=0)
        right = (0, 255, 0)
    else:
        image = Image.new(mode, (8, 8), (0, 255) if mode == "LA" else (10, 20, 30, 255))
        image.paste((77, 0) if mode == "LA" else (77, 77, 77, 0), (0, 0, 4, 8))
        data = saved(image)
        right = (0, 0, 0) if mode == "LA" else (10, 20, 30)
    pixels = decode(data, 8)
    assert (pixels[:, :4] == 255).all()
    assert (pixels[:, 4:] == right).all()


def test_half_transparent_pixels_are_half_white() -> None:
    assert np.abs(decode(saved(Image.new("RGBA", (4, 4), (0, 0, 0, 128))), 4).astype(int) - 127).max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientations_are_turned_upright(orientation: int) -> None:
    """A picture that is dark at the top left, stored turned, comes out dark at the top left."""
    upright = np.full((16, 16, 3), 255, np.uint8)
    upright[:8, :8] = 0
    upright[:8, 8:] = 90
    undo = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    stored = Image.fromarray(upright)
    stored = stored if undo is None else stored.transpose(undo)
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert np.array_equal(decode(saved(stored, "PNG", exif=exif), 16), upright)


def test_animated_picture_gives_its_first_frame() -> None:
    first, second = Image.new("RGB", (8, 8), (9, 9, 9)), Image.new("RGB", (8, 8), (200, 0, 0))
    data = saved(first, "WEBP", save_all=True, append_images=[second], lossless=True)
    assert (decode(data, 8) == 9).all()


def test_picture_of_one_pixel_is_decoded() -> None:
    assert (decode(saved(Image.new("RGB", (1, 1), (5, 6, 7))), 4) == (5, 6, 7)).all()


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (lambda: b"", "no bytes"),
        (lambda: b"no picture at all", "not a picture"),
        (lambda: encoded(0, (64, 64))[:-400], "trunc|broken|incomplete|Trunc"),
        (lambda: encoded(0, (64, 64), kind="JPEG")[:900], "trunc|broken|Trunc"),
        (
            lambda: saved(Image.new("1", (8_001, 8_000))),
            "8,001 x 8,000 px is too large: at most 64,000,000 px are read",
        ),
        (lambda: saved(Image.new("1", (20_000, 20_000))), "^too large: at most 64,000,000 px are read"),
    ],
    ids=["empty", "text", "cut PNG", "cut JPEG", "too wide", "too many pixels"],
)
def test_unreadable_pictures_are_refused_with_the_reason(made: Callable[[], bytes], reason: str) -> None:
    data = made()  # not while tests are collected, which every process does
    with pytest.raises(UnreadablePictureError, match=reason):
        decode(data, 8)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_picture_metadata_that_does_not_parse_is_ignored() -> None:
    image = picture(0, (16, 16))
    data = saved(image, "PNG", exif=b"Exif\x00\x00MM\x00*\x00\x00\xff\xff junk")
    assert np.array_equal(decode(data, 16), np.asarray(image))


def test_image_formats_that_start_other_programs_are_refused() -> None:
    data = saved(picture(0, (16, 16)), "EPS")
    with pytest.raises(UnreadablePictureError, match="not a picture"):
        decode(data, 8)

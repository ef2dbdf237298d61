"""JPEG pictures: the scale that they are decoded at, its error, and the same pixels by each library."""

import io
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import encoded, saved, write_folder
from PIL import Image

from trials.images import jpeg
from trials.images.config import DataConfig
from trials.images.decode import MAX_PIXELS, decode
from trials.images.packed import open_images

BILINEAR = Image.Resampling.BILINEAR
LARGEST_ERROR = 2.5  # root mean square over a picture, in levels of 0-255: stated in docs/data.md


@pytest.fixture(params=["simplejpeg", "Pillow"])
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Decodes by one and the other."""
    if request.param == "simplejpeg":
        pytest.importorskip("simplejpeg")
    else:
        monkeypatch.setattr(jpeg, "accelerator", lambda: None)
    return str(request.param)


@cache
def photo(width: int, height: int, *, seed: int = 0) -> Image.Image:
    """Objects with edges, of all sizes and colours, in a light that varies, under the noise of a camera."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    pixels = np.repeat(128 + 50 * np.sin(x / width * 4 + y / height * 3)[..., None], 3, axis=-1)
    for _ in range(150):
        radius = min(width, height) * 0.5 * rng.pareto(1.5) / 10
        inside = (x - rng.integers(width)) ** 2 + (y - rng.integers(height)) ** 2 < radius**2
        pixels[inside] = rng.integers(0, 256, 3) + rng.normal(0, 8, 3)
    return Image.fromarray((pixels + rng.normal(0, 4, pixels.shape)).clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize(
    ("size", "resolution", "scale"),
    [
        ((160, 160), 128, 1),
        ((256, 256), 128, 1),
        ((320, 500), 128, 2),
        ((319, 500), 128, 1),
        ((640, 640), 128, 4),
        ((9000, 9000), 128, 8),
    ],
)
def test_the_decoded_picture_stays_a_quarter_larger_than_wanted(
    size: tuple[int, int], resolution: int, scale: int
) -> None:
    assert jpeg.scale_of(size, resolution) == scale


@pytest.mark.parametrize("resolution", [32, 45, 64, 90, 120])
def test_scaling_differs_from_resizing_the_whole_picture_within_the_stated_bound(
    resolution: int, library: str
) -> None:
    errors = []
    for seed in range(3):
        data = saved(photo(400, 300, seed=seed), "JPEG", quality=90)
        whole = np.asarray(Image.open(io.BytesIO(data)).resize((resolution, resolution), BILINEAR))
        difference = decode(data, resolution).astype(float) - whole
        errors.append(np.sqrt((difference**2).mean()))
        assert abs(difference.mean()) < 0.5  # no shift of brightness
    assert 0 < max(errors) < LARGEST_ERROR


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("options", [{}, {"subsampling": 0}, {"progressive": True}])
def test_both_libraries_give_the_same_pixels(
    mode: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("simplejpeg")
    pictures = [
        saved(photo(width, height).convert(mode), "JPEG", **options)
        for width, height in [(64, 64), (33, 47), (257, 311)]
    ]
    by_both = [decode(data, resolution) for data in pictures for resolution in (16, 33, 64)]
    monkeypatch.setattr(jpeg, "accelerator", lambda: None)
    by_pillow = [decode(data, resolution) for data in pictures for resolution in (16, 33, 64)]
    for one, other in zip(by_both, by_pillow, strict=True):
        assert np.array_equal(one, other)


def test_plain_pictures_are_decoded_by_simplejpeg_and_others_left_to_pillow() -> None:
    pytest.importorskip("simplejpeg")
    turned = Image.Exif()
    turned[0x0112] = 6
    plain = saved(photo(40, 30), "JPEG")
    found = jpeg.decoded(plain, 12, max_pixels=MAX_PIXELS)
    assert found is not None
    assert found.shape == (15, 20, 3)
    left = [
        saved(photo(40, 30), "JPEG", exif=turned.tobytes()),
        saved(photo(40, 30).convert("CMYK"), "JPEG"),
        saved(photo(40, 30)),
        plain[: len(plain) // 2],
        plain[:20],
        b"",
    ]
    assert [jpeg.decoded(data, 12, max_pixels=MAX_PIXELS) for data in left] == [None] * 6
    assert jpeg.decoded(plain, 12, max_pixels=40 * 30 - 1) is None


def test_a_turned_picture_is_scaled_and_turned(library: str) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    image = photo(200, 120)
    data = saved(image, "JPEG", quality=95, exif=turned.tobytes())
    upright = image.transpose(Image.Transpose.ROTATE_270)
    expected = np.asarray(upright.resize((24, 24), BILINEAR)).astype(float)
    assert np.abs(decode(data, 24) - expected).mean() < 4


def test_a_library_that_gives_other_pixels_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    library = pytest.importorskip("simplejpeg")

    class Darker:
        def decode_jpeg(self, *arguments: Any, **options: Any) -> np.ndarray:
            return np.maximum(library.decode_jpeg(*arguments, **options), 1) - 1

    assert jpeg.accelerator() is library
    for module in (Darker(), None):  # None: it cannot be imported
        monkeypatch.setitem(sys.modules, "simplejpeg", module)  # type: ignore[arg-type]
        jpeg.accelerator.cache_clear()
        assert jpeg.accelerator() is None
    jpeg.accelerator.cache_clear()


def test_a_pack_says_what_made_its_pixels(tmp_path: Path, library: str) -> None:
    config = DataConfig(source=str(write_folder(tmp_path / "animals")), minival=0.25)
    for _ in range(2):  # packed, and found packed
        by = open_images(config, resolution=12, cache=tmp_path / "cache").pixels_by
        assert by.startswith("Pillow ")
        assert ("simplejpeg" in by) == (library == "simplejpeg")


def test_a_damaged_picture_is_refused_by_both_alike(library: str) -> None:
    data = encoded(1, (64, 64), "JPEG")
    with pytest.raises(ValueError, match="truncated"):
        decode(data[: len(data) // 2], 16)

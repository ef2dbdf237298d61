"""Each of RandAugment's operations agrees with Pillow's; which ones, and how strong, is as it should be."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from keyed_draws import keyed_uniform
from PIL import Image, ImageEnhance, ImageFilter, ImageOps
from torch import Tensor

from trials.augmentation import randaugment
from trials.augmentation.augment import FILL
from trials.augmentation.operations import DRAWS_PER_LAYER, OPS, Pixels
from trials.augmentation.randaugment import rand_augment

pytestmark = pytest.mark.usefixtures("as_a_worker")

LEVELS = [1.0, 5.0, 9.0, 10.0, 15.0]
TABLE_OPS: dict[str, Callable[[Image.Image, float], Image.Image]] = {
    "invert": lambda image, level: ImageOps.invert(image),
    "posterize": lambda image, level: ImageOps.posterize(image, min(8, max(1, int(level / 10 * 4)))),
    "solarize": lambda image, level: ImageOps.solarize(image, int(level / 10 * 256)),
    "brightness": lambda image, level: ImageEnhance.Brightness(image).enhance(level / 10 * 1.8 + 0.1),
    "contrast": lambda image, level: ImageEnhance.Contrast(image).enhance(level / 10 * 1.8 + 0.1),
    "color": lambda image, level: ImageEnhance.Color(image).enhance(level / 10 * 1.8 + 0.1),
    "sharpness": lambda image, level: ImageEnhance.Sharpness(image).enhance(level / 10 * 1.8 + 0.1),
    "auto_contrast": lambda image, level: ImageOps.autocontrast(image),
    "equalize": lambda image, level: ImageOps.equalize(image),
}


def pictures(height: int = 40, width: int = 32) -> Tensor:
    """(10, H, W, 3) uint8: noise, gradients with and without noise, few greys, blurred noise, flat images."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width][:, :, :, None] / max(height, width)
    slope = 200 * (x * np.array([1, 0.5, 0.2]) + y * np.array([0.1, 0.4, 0.7]))
    noise = rng.integers(0, 256, (height, width, 3))
    made = [
        noise,
        slope,
        0.3 * slope + 90,
        slope + rng.normal(0, 15, slope.shape),
        rng.integers(0, 3, slope.shape) * 40 + 60,
        np.where(x > 0.5, 255, 0) * np.ones(3),
        np.asarray(Image.fromarray(noise.astype(np.uint8)).filter(ImageFilter.GaussianBlur(3))),
        *(np.full(slope.shape, value) for value in (0, 77, 255)),
    ]
    return torch.from_numpy(np.stack(made).clip(0, 255).astype(np.uint8))


def applied(
    name: str,
    images: Tensor,
    level: float,
    *,
    first: float = 0.75,
    second: float = 0.5,
    pixels: Pixels = "scaled",
) -> Tensor:
    """One layer of the one operation; `first` below 0.5 is the negative sign."""
    draws = torch.tensor([[(OPS.index(name) + 0.5) / len(OPS), first, second]])
    return rand_augment(images, draws.expand(len(images), -1), magnitude=level, layers=1, pixels=pixels)


def differences(images: Tensor, expected: list[Image.Image]) -> np.ndarray:
    """(B, H, W, 3) int."""
    return np.abs(
        images.numpy().astype(int) - np.stack([np.asarray(image) for image in expected]).astype(int)
    )


def test_randaugment_has_the_papers_sixteen_operations() -> None:
    geometric = {"rotate", "shear_x", "shear_y", "translate_x", "translate_y"}
    assert set(OPS) == {*TABLE_OPS, *geometric, "solarize_add", "cutout"}
    assert len(OPS) == 16


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", TABLE_OPS)
def test_colour_operations_agree_with_pillow(name: str, level: float) -> None:
    """Tolerance: none, but one grey level in one value of 1,000 for the four blends (a float factor)."""
    images = pictures()
    expected = [TABLE_OPS[name](Image.fromarray(image.numpy()), level) for image in images]
    off = differences(applied(name, images, level), expected)
    blends = ("brightness", "contrast", "color", "sharpness")
    assert off.max() <= (name in blends)
    assert (off > 0).mean() <= 0.001


@pytest.mark.parametrize("level", LEVELS)
def test_solarize_add_brightens_the_darker_half(level: float) -> None:
    images = pictures()
    values = images.numpy().astype(int)
    expected = np.where(values < 128, np.minimum(values + int(level / 10 * 110), 255), values)
    assert np.array_equal(applied("solarize_add", images, level).numpy(), expected)


def moved_by_pillow(name: str, image: Image.Image, level: float) -> Image.Image:
    width, height = image.size
    if name == "rotate":
        return image.rotate(30 * level / 10, fillcolor=(FILL, FILL, FILL))
    by_x, by_y = 100 / 224 * width * level / 10, 100 / 224 * height * level / 10
    maps = {
        "shear_x": (1, 0.3 * level / 10, 0, 0, 1, 0),
        "shear_y": (1, 0, 0, 0.3 * level / 10, 1, 0),
        "translate_x": (1, 0, by_x, 0, 1, 0),
        "translate_y": (1, 0, 0, 0, 1, by_y),
    }
    return image.transform(image.size, Image.Transform.AFFINE, maps[name], fillcolor=(FILL, FILL, FILL))


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", ["rotate", "shear_x", "shear_y", "translate_x", "translate_y"])
def test_operations_that_move_pixels_agree_with_pillow(name: str, level: float, sign: int) -> None:
    """Tolerance: 1 % of the pixels, whose origin lies on the border of two, take the neighbour."""
    images = pictures()
    expected = [moved_by_pillow(name, Image.fromarray(image.numpy()), sign * level) for image in images]
    off = differences(applied(name, images, level, first=0.25 if sign < 0 else 0.75), expected)
    assert (off.max(-1) > 0).mean() <= 0.01
    assert (applied(name, images, level).numpy() != images.numpy()).mean() > 0.05


@pytest.mark.parametrize(("level", "half"), [(5.0, 20), (10.0, 40), (15.0, 60)])
def test_cutout_covers_a_grey_square_cut_at_the_edge(level: float, half: int) -> None:
    images = torch.zeros(1, 224, 224, 3, dtype=torch.uint8)
    cut = applied("cutout", images, level, first=0.5, second=0.5)[0]
    assert cut[112 - half : 112 + half, 112 - half : 112 + half].eq(FILL).all()
    assert cut.eq(FILL).sum() == 3 * (2 * half) ** 2
    corner = applied("cutout", images, level, first=0.0, second=0.0)[0]
    assert corner.eq(FILL).sum() == 3 * half**2


def test_translations_grow_with_the_images_side() -> None:
    """At level 10 the official code moves by 100 pixels, which would leave nothing of a small image."""
    for side in (32, 224, 448):
        images = torch.zeros(1, side, side, 3, dtype=torch.uint8)
        grey = applied("translate_x", images, 10)[0, 0, :, 0].eq(FILL).sum().item()
        assert grey == pytest.approx(100 * side / 224, abs=1)


@pytest.mark.parametrize("group_on", [("cpu",), ()])
@pytest.mark.parametrize(("level", "side"), [(5, 171), (10, 128), (10, 384), (20, 300)])
def test_official_pixels_are_the_same_at_every_size(
    level: int, side: int, group_on: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The official code moves by 10 pixels a magnitude, and cuts out squares of 8 pixels a magnitude."""
    monkeypatch.setattr("trials.augmentation.randaugment.GROUP_ON", group_on)
    images = torch.zeros(1, side, side, 3, dtype=torch.uint8)
    for name in ("translate_x", "translate_y"):
        moved = applied(name, images, level, pixels="official")[0, ..., 0].eq(FILL)
        assert moved.sum() == min(10 * level, side) * side
    cut = applied("cutout", images, level, first=0.5, second=0.5, pixels="official")[0, ..., 0].eq(FILL)
    assert cut.sum() == (8 * level) ** 2


def test_official_pixels_are_the_scaled_ones_at_224_px() -> None:
    images = pictures(224, 224)
    draws = keyed_uniform(8, 1, torch.arange(len(images)), 2 * DRAWS_PER_LAYER)
    scaled, official = (
        rand_augment(images, draws, magnitude=9.0, pixels=pixels) for pixels in ("scaled", "official")
    )
    assert torch.equal(scaled, official)


def test_every_operation_is_drawn_equally_often_in_every_layer() -> None:
    count, layers = 64_000, 3
    draws = keyed_uniform(0, 0, torch.arange(count), layers * DRAWS_PER_LAYER)
    pairs = []
    for layer in range(layers):
        codes = (draws[:, layer * DRAWS_PER_LAYER] * len(OPS)).long()
        counts = torch.bincount(codes, minlength=len(OPS)).double()
        assert ((counts - count / 16) ** 2 / (count / 16)).sum() < 15 + 4 * 30**0.5  # chi-square, 15 degrees
        pairs.append(codes)
    both = torch.bincount(pairs[0] * 16 + pairs[1], minlength=256).double()
    assert ((both - count / 256) ** 2 / (count / 256)).sum() < 255 + 4 * 510**0.5


def test_operations_are_applied_as_often_as_they_are_drawn() -> None:
    """On one picture each operation has a result of its own, so the results can be counted."""
    count, picture = 4000, pictures(16, 16)[3:4]
    draws = keyed_uniform(7, 1, torch.arange(count), DRAWS_PER_LAYER)
    seen = rand_augment(picture.expand(count, -1, -1, -1), draws, magnitude=9, layers=1)
    left = count
    for name in set(OPS) - {"cutout"}:
        results = {applied(name, picture, 9, first=first).numpy().tobytes() for first in (0.25, 0.75)}
        hits = sum(image.numpy().tobytes() in results for image in seen)
        assert hits == pytest.approx(count / 16, abs=5 * (count / 16) ** 0.5), name
        left -= hits
    assert left == pytest.approx(count / 16, abs=5 * (count / 16) ** 0.5)  # Cutout, anywhere


def test_randaugment_of_an_image_does_not_depend_on_its_batch() -> None:
    images = pictures().repeat(20, 1, 1, 1)
    draws = keyed_uniform(1, 1, torch.arange(len(images)), 2 * DRAWS_PER_LAYER)
    whole = rand_augment(images, draws, magnitude=12.5)
    order = torch.randperm(len(images))
    shuffled = rand_augment(images[order], draws[order], magnitude=12.5)
    assert torch.equal(whole[order], shuffled)
    alone = [rand_augment(images[i : i + 1], draws[i : i + 1], magnitude=12.5) for i in range(0, 200, 9)]
    assert torch.equal(whole[::9], torch.cat(alone))


def test_layers_of_randaugment_are_applied_one_after_the_other() -> None:
    images = pictures()
    draws = keyed_uniform(2, 1, torch.arange(len(images)), 3 * DRAWS_PER_LAYER)
    given = images.clone()
    three = rand_augment(images, draws, magnitude=9, layers=3)
    for layer in range(3):
        part = draws[:, layer * DRAWS_PER_LAYER : (layer + 1) * DRAWS_PER_LAYER]
        images = rand_augment(images, part, magnitude=9, layers=1)
    assert torch.equal(three, images)
    assert torch.equal(given, pictures())  # the caller's images stay
    assert torch.equal(rand_augment(given, draws, magnitude=9, layers=0), given)


def test_a_magnitude_may_be_a_tensor_that_changes_in_place() -> None:
    images = pictures()
    draws = keyed_uniform(3, 1, torch.arange(len(images)), 2 * DRAWS_PER_LAYER)
    magnitude = torch.zeros(())
    for level in LEVELS:
        magnitude.fill_(level)
        changed = rand_augment(images, draws, magnitude=magnitude)
        assert torch.equal(changed, rand_augment(images, draws, magnitude=level))


@pytest.mark.parametrize("by_kernels", [False, True])
def test_randaugment_reads_no_value_from_the_device(by_kernels: bool) -> None:
    """A meta tensor holds no numbers: whatever read one back, or made a shape of one, would raise."""
    images = pictures().to("meta")
    draws = torch.empty(len(images), 2 * DRAWS_PER_LAYER, device="meta")
    magnitude = torch.empty((), device="meta")
    changed = rand_augment(images, draws, magnitude=magnitude, by_kernels=by_kernels)
    assert (changed.shape, changed.dtype) == (images.shape, torch.uint8)


def test_operations_on_all_images_give_what_operations_on_the_chosen_give(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    images = pictures().repeat(20, 1, 1, 1)
    draws = keyed_uniform(4, 1, torch.arange(len(images)), 2 * DRAWS_PER_LAYER)
    picked = rand_augment(images, draws, magnitude=9)
    monkeypatch.setattr("trials.augmentation.randaugment.GROUP_ON", ())
    assert torch.equal(rand_augment(images, draws, magnitude=9), picked)


def test_batches_of_very_many_pixels_are_changed_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    images = pictures()
    draws = keyed_uniform(6, 1, torch.arange(len(images)), 2 * DRAWS_PER_LAYER)
    whole = rand_augment(images, draws, magnitude=9.0)
    monkeypatch.setattr(randaugment, "cpu_kernels_change", lambda images: False)
    monkeypatch.setattr("trials.augmentation.randaugment.MOST_PIXELS", 3 * images[0, ..., 0].numel())
    seen: list[int] = []
    groups = randaugment.augment_groups
    monkeypatch.setattr(
        randaugment,
        "augment_groups",
        lambda part, *more, **named: seen.append(len(part)) or groups(part, *more, **named),
    )
    assert torch.equal(rand_augment(images, draws, magnitude=9.0), whole)
    assert seen == [3, 3, 3, 1]


@pytest.mark.gpu
@pytest.mark.parametrize("by_kernels", [False, True])
def test_randaugment_on_cuda_in_a_graph_gives_the_cpus_images(by_kernels: bool) -> None:
    if by_kernels:
        pytest.importorskip("triton")
    images = pictures().repeat(20, 1, 1, 1)
    draws = keyed_uniform(5, 1, torch.arange(len(images)), 2 * DRAWS_PER_LAYER)
    on_device, device_draws = images.cuda(), draws.cuda()
    magnitude = torch.full((), 9.0, device="cuda")
    rand_augment(on_device, device_draws, magnitude=magnitude, by_kernels=by_kernels)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = rand_augment(on_device, device_draws, magnitude=magnitude, by_kernels=by_kernels)
    graph.replay()
    off = (result.cpu().int() - rand_augment(images, draws, magnitude=9.0).int()).abs()
    assert (off > 0).float().mean() < 0.002  # pixels on a border of two, and blends half-way

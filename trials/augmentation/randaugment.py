"""RandAugment (Cubuk et al. 2020) in batches on the device: each image has operations of its own.

The sixteen operations and their scale are the official EfficientNetV2 code's; magnitudes may exceed 10.
Marked deviations: Translate and Cutout, stated there in pixels of a 224-pixel image, grow with the side;
Contrast turns about the mean of the greys, as in Pillow (the official code, by a slip, about pixels / 256);
Posterize keeps between 1 and 8 bits. Shear starts from the image's corner and Rotate from its centre; both,
like Translate, take the nearest pixel, and mid grey outside.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from trials.augmentation.augment import FILL, boxes

# In this order because all up to CONTRAST are one table look-up, and all from ROTATE to TRANSLATE_Y one
# affine map.
OPS = (
    "invert",
    "posterize",
    "solarize",
    "solarize_add",
    "brightness",
    "auto_contrast",
    "equalize",
    "contrast",
    "color",
    "sharpness",
    "rotate",
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
    "cutout",
)
AUTO_CONTRAST, EQUALIZE, CONTRAST, COLOR, SHARPNESS, ROTATE = range(5, 11)
SHEAR_X, SHEAR_Y, TRANSLATE_X, TRANSLATE_Y, CUTOUT = range(11, 16)
DRAWS_PER_LAYER = 3  # the operation; sign or row; column
SIDE = 224  # pixels, for which the official code states its lengths
PICK_ON = ("cpu",)  # devices that pick the images of an operation before they compute it
GREY_WEIGHTS = (19595, 38470, 7471)  # of 65,536: ITU-R 601 as Pillow rounds it

Change = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]  # images, codes, draws, level -> images


def rand_augment(images: Tensor, uniforms: Tensor, *, magnitude: Tensor | float, layers: int = 2) -> Tensor:
    """Applies to each image one of the sixteen operations, `layers` times; each is always applied.

    Args:
        images: (B, H, W, 3) uint8; stay as they are.
        uniforms: (B, layers * DRAWS_PER_LAYER) in [0, 1).
        magnitude: the official scale, mostly 0 to 10 (0-dim). Posterize and Solarize grow weaker with it.

    Returns:
        (B, H, W, 3) uint8.
    """
    level = torch.zeros((), dtype=torch.float64, device=images.device).add(magnitude) / 10
    images = images.clone(memory_format=torch.contiguous_format)
    for draws in uniforms.split(DRAWS_PER_LAYER, dim=1)[:layers]:
        codes = (draws[:, 0] * len(OPS)).long()  # (B,)
        for first, last, change in FAMILIES:
            chosen = (codes >= first) & (codes <= last)
            images = _replaced(images, chosen, change, images, codes, draws, level=level)
    return images


def _replaced(
    values: Tensor,
    chosen: Tensor,
    compute: Change,
    images: Tensor,
    codes: Tensor,
    draws: Tensor,
    *,
    level: Tensor,
) -> Tensor:
    """`values` (B, ...) with the chosen images' replaced by `compute`'s; may change `values` in place.

    On the CPU only the chosen images are computed. Elsewhere all are, and the rest is dropped: to know which
    are chosen the host would have to wait for the device, and a CUDA graph could not be captured.
    """
    if values.device.type not in PICK_ON:
        shape = (-1, *[1] * (values.dim() - 1))
        return torch.where(chosen.view(shape), compute(images, codes, draws, level), values)
    rows = chosen.nonzero()[:, 0]
    if len(rows):
        changed = compute(images.index_select(0, rows), codes[rows], draws[rows], level)
        values.index_copy_(0, rows, changed)
    return values


def _through_table(images: Tensor, codes: Tensor, draws: Tensor, level: Tensor) -> Tensor:
    fixed = torch.stack(
        [_invert(level), _posterize(level), _solarize(level), _solarize_add(level), _brightness(level)]
    )
    tables = fixed.index_select(0, codes.clamp(0, 4))[:, None].repeat(1, 3, 1)  # (B, 3, 256)
    for code, table in ((AUTO_CONTRAST, _auto_contrast), (EQUALIZE, _equalize), (CONTRAST, _contrast)):
        tables = _replaced(tables, codes == code, table, images, codes, draws, level=level)
    return tables.flatten().index_select(0, _bins(images).flatten()).view(images.shape)


def _bins(images: Tensor) -> Tensor:
    """(B, H, W * 3) int32: each value's place among the (B, 3, 256) of its image and channel."""
    count, _, width, _ = images.shape
    first = torch.arange(count * 3, dtype=torch.int32, device=images.device) * 256
    row = first.view(-1, 1, 1, 3).expand(-1, -1, width, -1).flatten(2)  # (B, 1, W * 3), to add in long runs
    return images.flatten(2).to(torch.int32).add_(row)


def _grey_levels(like: Tensor) -> Tensor:
    return torch.arange(256, device=like.device)


def _as_grey_levels(values: Tensor) -> Tensor:
    """Cut to 0-255, without rounding, as Pillow does."""
    return values.clamp(0, 255).to(torch.uint8)


def _invert(level: Tensor) -> Tensor:
    return _as_grey_levels(255 - _grey_levels(level))


def _posterize(level: Tensor) -> Tensor:
    dropped = 8 - (level * 4).long().clamp(1, 8)
    return _as_grey_levels((_grey_levels(level) >> dropped) << dropped)


def _solarize(level: Tensor) -> Tensor:
    values, threshold = _grey_levels(level), (level * 256).long()
    return _as_grey_levels(torch.where(values < threshold, values, 255 - values))


def _solarize_add(level: Tensor) -> Tensor:
    values, added = _grey_levels(level), (level * 110).long()
    return _as_grey_levels(torch.where(values < 128, values + added, values))


def _brightness(level: Tensor) -> Tensor:
    return _as_grey_levels(_grey_levels(level) * _factor(level))


def _factor(level: Tensor) -> Tensor:
    """Of Color, Contrast, Brightness and Sharpness; 1 leaves an image as it is."""
    return (level * 1.8 + 0.1).float()


def _auto_contrast(images: Tensor, codes: Tensor, draws: Tensor, level: Tensor) -> Tensor:
    """(B, 3, 256): each channel stretched to 0-255."""
    values = _grey_levels(images)
    low, high = (bound[:, :, None].double() for bound in torch.aminmax(images.flatten(1, 2), dim=1))
    scale = torch.full_like(high, 255) / (high - low).clamp(min=1)  # 255 / x would round twice
    return _as_grey_levels(torch.where(high > low, values * scale + -low * scale, values))


def _equalize(images: Tensor, codes: Tensor, draws: Tensor, level: Tensor) -> Tensor:
    """(B, 3, 256): each channel's values spread so that all occur equally often."""
    bins = _bins(images).flatten().long()
    counts = torch.zeros(len(images) * 768, dtype=torch.int32, device=images.device)
    counts.scatter_add_(0, bins, torch.ones_like(counts[:1]).expand(bins.shape))
    counts = counts.view(-1, 3, 256)
    brightest = counts.gather(2, images.amax((1, 2)).long()[:, :, None])  # (B, 3, 1) pixels
    step = (images.shape[1] * images.shape[2] - brightest) // 255
    darker = counts.cumsum(2) - counts
    spread = (step // 2 + darker) // step.clamp(min=1)
    return _as_grey_levels(torch.where(step > 0, spread, _grey_levels(images)))


def _contrast(images: Tensor, codes: Tensor, draws: Tensor, level: Tensor) -> Tensor:
    """(B, 3, 256): values moved from the image's mean grey, or towards it."""
    pixels = images.shape[1] * images.shape[2]
    mean = (2 * _greys(images).sum((1, 2)) + pixels) // (2 * pixels)  # rounded
    return _blended(mean[:, None, None], _grey_levels(images), level).expand(-1, 3, -1)


def _greys(images: Tensor) -> Tensor:
    """(B, H, W) int32, 0-255."""
    red, green, blue = (images[..., i].to(torch.int32) * weight for i, weight in enumerate(GREY_WEIGHTS))
    return (red + green + blue + 0x8000) >> 16


def _blended(plain: Tensor, images: Tensor, level: Tensor) -> Tensor:
    """uint8: from `plain` (grey, black, blurred) at factor 0 to the image at 1 and beyond."""
    return _as_grey_levels(plain + _factor(level) * (images - plain))


def _color(images: Tensor, codes: Tensor, draws: Tensor, level: Tensor) -> Tensor:
    return _blended(_greys(images)[..., None], images, level)


def _sharpness(images: Tensor, codes: Tensor, draws: Tensor, level: Tensor) -> Tensor:
    """The blurred image is a mean over 3 x 3 with the middle counted five times; the border stays."""
    values = images.to(torch.int16)
    columns = values[:, :-2] + values[:, 1:-1] + values[:, 2:]  # (B, H - 2, W, 3)
    sums = columns[:, :, :-2] + columns[:, :, 1:-1] + columns[:, :, 2:] + 4 * values[:, 1:-1, 1:-1]
    blurred = images.float()
    blurred[:, 1:-1, 1:-1] = ((sums + 6.5) / 13).floor()  # rounded; no sum lies half-way
    return _blended(blurred, images, level)


def _moved(images: Tensor, codes: Tensor, draws: Tensor, level: Tensor) -> Tensor:
    """Rotate, Shear and Translate: of each pixel's centre, the pixel of the image where it comes from."""
    count, height, width, _ = images.shape
    maps = _inverse_maps(codes, draws, level.float(), height=height, width=width)[..., None, None]
    x = torch.arange(width, device=images.device) + 0.5  # (W,)
    y = torch.arange(height, device=images.device)[:, None] + 0.5  # (H, 1)
    columns = (maps[:, 0] * x + maps[:, 1] * y + maps[:, 2]).floor().long()  # (B, H, W)
    rows = (maps[:, 3] * x + maps[:, 4] * y + maps[:, 5]).floor().long()
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    first = torch.arange(count, device=images.device).view(-1, 1, 1) * (height * width)
    outside = count * height * width  # where a grey pixel is added
    places = torch.where(inside, first + rows * width + columns, outside)
    pixels = functional.pad(images.reshape(-1, 3), (0, 0, 0, 1), value=FILL)
    return pixels.index_select(0, places.flatten()).view(images.shape)


def _inverse_maps(codes: Tensor, draws: Tensor, level: Tensor, *, height: int, width: int) -> Tensor:
    """(B, 6) of x = a x' + b y' + c, y = d x' + e y' + f, from a pixel's place to where it comes from."""
    signed = torch.where(draws[:, 1] < 0.5, -level, level)
    angle = signed * (codes == ROTATE) * math.radians(30)  # counter-clockwise
    cosine, sine = angle.cos(), angle.sin()
    shear_x, shear_y = (signed * (codes == code) * 0.3 for code in (SHEAR_X, SHEAR_Y))
    shift_x = signed * (codes == TRANSLATE_X) * (100 * width / SIDE)  # pixels
    shift_y = signed * (codes == TRANSLATE_Y) * (100 * height / SIDE)
    right, down = width / 2, height / 2  # the centre
    return torch.stack(
        [
            cosine,
            shear_x - sine,
            shift_x + right * (1 - cosine) + down * sine,
            shear_y + sine,
            cosine,
            shift_y + down * (1 - cosine) - right * sine,
        ],
        dim=1,
    )


def _cutout(images: Tensor, codes: Tensor, draws: Tensor, level: Tensor) -> Tensor:
    height, width = images.shape[1:3]
    half = (level * (40 * min(height, width) / SIDE)).long()  # pixels
    return images.masked_fill(
        boxes(draws[:, 1:3], height=height, width=width, half_y=half, half_x=half), FILL
    )


FAMILIES: tuple[tuple[int, int, Change], ...] = (  # first and last operation
    (0, CONTRAST, _through_table),
    (COLOR, COLOR, _color),
    (SHARPNESS, SHARPNESS, _sharpness),
    (ROTATE, TRANSLATE_Y, _moved),
    (CUTOUT, CUTOUT, _cutout),
)

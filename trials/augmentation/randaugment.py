"""RandAugment (Cubuk et al. 2020) in batches on the device, with random operations for each image.

The sixteen operations and the scale of their magnitudes are those of the official EfficientNetV2 code;
magnitudes may exceed 10. Deviations: Translate and Cutout, given there in pixels of a 224-pixel image, scale
with the image's side; Contrast scales around the mean grey, as in Pillow (the official code, by a slip,
around pixels / 256); Posterize keeps between 1 and 8 bits. Shear keeps the image's corner fixed and Rotate
its centre; both, like Translate, take the nearest pixel, and fill with mid grey.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from trials.augmentation.augment import FILL, boxes

# The order makes families contiguous: all operations up to CONTRAST map grey levels by a table, and all from
# ROTATE to TRANSLATE_Y are affine maps of coordinates. Each family is computed at once for all its images.
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
DRAWS_PER_LAYER = 3  # which operation; its sign, or the row of its box; the column of its box
SIDE = 224  # pixels: side of the image for which the official code gives its lengths
PICK_ON = ("cpu",)  # devices on which a family is computed for its own images alone
GREY_WEIGHTS = (19595, 38470, 7471)  # in 1/65,536: the luma weights of ITU-R 601 as Pillow rounds them

Change = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]  # images, codes, draws, level -> images


def rand_augment(images: Tensor, uniforms: Tensor, *, magnitude: Tensor | float, layers: int = 2) -> Tensor:
    """Applies one random operation of the sixteen to each image, `layers` times.

    Args:
        images: (B, H, W, 3) uint8; not changed.
        uniforms: (B, layers * DRAWS_PER_LAYER) in [0, 1).
        magnitude: on the official scale, mostly 0 to 10 (0-dim). A larger one makes Posterize and Solarize
            weaker.

    Returns:
        (B, H, W, 3) uint8.
    """
    # `level` is the magnitude on a scale from 0 to 1, as a tensor: a CUDA graph can then change it.
    level = torch.zeros((), dtype=torch.float64, device=images.device).add(magnitude) / 10
    images = images.clone(memory_format=torch.contiguous_format)
    for draws in uniforms.split(DRAWS_PER_LAYER, dim=1)[:layers]:
        codes = (draws[:, 0] * len(OPS)).long()  # (B,)
        for first, last, change in FAMILIES:
            chosen = (codes >= first) & (codes <= last)
            images = _with_chosen(images, chosen, change, images, codes, draws, level=level)
    return images


def _with_chosen(
    values: Tensor,
    chosen: Tensor,
    compute: Change,
    images: Tensor,
    codes: Tensor,
    draws: Tensor,
    *,
    level: Tensor,
) -> Tensor:
    """`values` (B, ...) with those of the chosen images computed anew; may change `values` in place.

    On a CPU, `compute` runs for the chosen images only. On other devices it runs for all images and the rest
    is dropped: to learn which are chosen the host would have to wait for the device, and no CUDA graph could
    be captured.
    """
    if values.device.type not in PICK_ON:
        shape = (-1, *[1] * (values.dim() - 1))
        return torch.where(chosen.view(shape), compute(images, codes, draws, level), values)
    rows = chosen.nonzero()[:, 0]
    if len(rows):
        changed = compute(images.index_select(0, rows), codes[rows], draws[rows], level)
        values.index_copy_(0, rows, changed)
    return values


def _map_grey_levels(images: Tensor, codes: Tensor, draws: Tensor, level: Tensor) -> Tensor:
    """Operations that replace each value by another one: a table of 256 values per image and channel."""
    # Step 1: tables that are the same for all images.
    fixed = torch.stack(
        [_invert(level), _posterize(level), _solarize(level), _solarize_add(level), _brightness(level)]
    )
    tables = fixed.index_select(0, codes.clamp(0, 4))[:, None].repeat(1, 3, 1)  # (B, 3, 256)
    # Step 2: tables that depend on the image itself.
    for code, table in ((AUTO_CONTRAST, _auto_contrast), (EQUALIZE, _equalize), (CONTRAST, _contrast)):
        tables = _with_chosen(tables, codes == code, table, images, codes, draws, level=level)
    # Step 3: one look-up for all pixels of the batch.
    return tables.flatten().index_select(0, _bins(images).flatten()).view(images.shape)


def _bins(images: Tensor) -> Tensor:
    """Flat index of each pixel value in a table (B, 3, 256) of its image and channel, (B, H, W * 3) int32."""
    count, _, width, _ = images.shape
    first = torch.arange(count * 3, dtype=torch.int32, device=images.device) * 256
    # Repeated along the row, so that the addition below runs over W * 3 contiguous numbers, not over 3.
    row = first.view(-1, 1, 1, 3).expand(-1, -1, width, -1).flatten(2)  # (B, 1, W * 3)
    return images.flatten(2).to(torch.int32).add_(row)


def _grey_levels(like: Tensor) -> Tensor:
    return torch.arange(256, device=like.device)


def _as_grey_levels(values: Tensor) -> Tensor:
    """Clamps to 0-255 and truncates to uint8, as Pillow does."""
    return values.clamp(0, 255).to(torch.uint8)


def _invert(level: Tensor) -> Tensor:
    return _as_grey_levels(255 - _grey_levels(level))


def _posterize(level: Tensor) -> Tensor:
    """Keeps the upper 4 * level bits, at least 1 and at most 8."""
    dropped = 8 - (level * 4).long().clamp(1, 8)
    return _as_grey_levels((_grey_levels(level) >> dropped) << dropped)


def _solarize(level: Tensor) -> Tensor:
    """Inverts values from a threshold on, which rises with the level."""
    values, threshold = _grey_levels(level), (level * 256).long()
    return _as_grey_levels(torch.where(values < threshold, values, 255 - values))


def _solarize_add(level: Tensor) -> Tensor:
    """Adds up to 110 to values below the middle."""
    values, added = _grey_levels(level), (level * 110).long()
    return _as_grey_levels(torch.where(values < 128, values + added, values))


def _brightness(level: Tensor) -> Tensor:
    return _as_grey_levels(_grey_levels(level) * _factor(level))


def _factor(level: Tensor) -> Tensor:
    """Factor of Color, Contrast, Brightness and Sharpness: 0.1 at level 0, 1.9 at 1; 1.0 changes nothing."""
    return (level * 1.8 + 0.1).float()


def _auto_contrast(images: Tensor, codes: Tensor, draws: Tensor, level: Tensor) -> Tensor:
    """Tables (B, 3, 256) that stretch each channel's values to 0-255."""
    values = _grey_levels(images)
    low, high = (bound[:, :, None].double() for bound in torch.aminmax(images.flatten(1, 2), dim=1))
    scale = torch.full_like(high, 255) / (high - low).clamp(min=1)  # 255 / x would round twice
    return _as_grey_levels(torch.where(high > low, values * scale + -low * scale, values))


def _equalize(images: Tensor, codes: Tensor, draws: Tensor, level: Tensor) -> Tensor:
    """Tables (B, 3, 256) of histogram equalisation, in Pillow's integer arithmetic."""
    # Step 1: a histogram for each image and channel.
    bins = _bins(images).flatten().long()
    counts = torch.zeros(len(images) * 768, dtype=torch.int32, device=images.device)
    counts.scatter_add_(0, bins, torch.ones_like(counts[:1]).expand(bins.shape))
    counts = counts.view(-1, 3, 256)
    # Step 2: pixels per output level, not counting those of the brightest value that occurs.
    brightest = counts.gather(2, images.amax((1, 2)).long()[:, :, None])  # (B, 3, 1) pixels
    step = (images.shape[1] * images.shape[2] - brightest) // 255
    # Step 3: a value maps to the number of darker pixels in such steps; a step of 0 leaves the channel.
    darker = counts.cumsum(2) - counts
    spread = (step // 2 + darker) // step.clamp(min=1)
    return _as_grey_levels(torch.where(step > 0, spread, _grey_levels(images)))


def _contrast(images: Tensor, codes: Tensor, draws: Tensor, level: Tensor) -> Tensor:
    """Tables (B, 3, 256) that move values away from the image's mean grey, or towards it."""
    pixels = images.shape[1] * images.shape[2]
    mean = (2 * _greys(images).sum((1, 2)) + pixels) // (2 * pixels)  # rounded
    return _blended(mean[:, None, None], _grey_levels(images), level).expand(-1, 3, -1)


def _greys(images: Tensor) -> Tensor:
    """Luma of each pixel in Pillow's fixed-point arithmetic, (B, H, W) int32 in 0-255."""
    red, green, blue = (images[..., i].to(torch.int32) * weight for i, weight in enumerate(GREY_WEIGHTS))
    return (red + green + blue + 0x8000) >> 16


def _blended(plain: Tensor, images: Tensor, level: Tensor) -> Tensor:
    """Pillow's ImageEnhance: factor 0 gives `plain` (grey or blurred), 1 the image, more exaggerates it."""
    return _as_grey_levels(plain + _factor(level) * (images - plain))


def _color(images: Tensor, codes: Tensor, draws: Tensor, level: Tensor) -> Tensor:
    """Blends each image with its grey version."""
    return _blended(_greys(images)[..., None], images, level)


def _sharpness(images: Tensor, codes: Tensor, draws: Tensor, level: Tensor) -> Tensor:
    """Blends each image with a blurred one: means over 3 x 3 pixels, the middle counted five times.

    The border is left as it is, as in Pillow.
    """
    values = images.to(torch.int16)
    # The 3 x 3 sum is separable: first over rows, then over columns; 4 more of the middle make it five.
    columns = values[:, :-2] + values[:, 1:-1] + values[:, 2:]  # (B, H - 2, W, 3)
    sums = columns[:, :, :-2] + columns[:, :, 1:-1] + columns[:, :, 2:] + 4 * values[:, 1:-1, 1:-1]
    blurred = images.float()
    blurred[:, 1:-1, 1:-1] = ((sums + 6.5) / 13).floor()  # rounded; no sum lies half-way
    return _blended(blurred, images, level)


def _affine(images: Tensor, codes: Tensor, draws: Tensor, level: Tensor) -> Tensor:
    """Rotate, Shear and Translate by inverse mapping: each pixel is looked up where it comes from."""
    count, height, width, _ = images.shape
    # Step 1: the source coordinates of every pixel's centre.
    maps = _inverse_maps(codes, draws, level.float(), height=height, width=width)[..., None, None]
    x = torch.arange(width, device=images.device) + 0.5  # (W,)
    y = torch.arange(height, device=images.device)[:, None] + 0.5  # (H, 1)
    columns = (maps[:, 0] * x + maps[:, 1] * y + maps[:, 2]).floor().long()  # (B, H, W)
    rows = (maps[:, 3] * x + maps[:, 4] * y + maps[:, 5]).floor().long()
    # Step 2: gather the nearest pixels; sources outside of the image index one grey pixel added at the end.
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    first = torch.arange(count, device=images.device).view(-1, 1, 1) * (height * width)
    outside = count * height * width
    places = torch.where(inside, first + rows * width + columns, outside)
    pixels = functional.pad(images.reshape(-1, 3), (0, 0, 0, 1), value=FILL)
    return pixels.index_select(0, places.flatten()).view(images.shape)


def _inverse_maps(codes: Tensor, draws: Tensor, level: Tensor, *, height: int, width: int) -> Tensor:
    """Coefficients (B, 6) of x = a x' + b y' + c, y = d x' + e y' + f, from a pixel's place to its source.

    Every image has one of the operations; the others' parameters are 0 for it, so one formula serves all.
    """
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
    """Covers a random square with mid grey; at level 1 its side is 80 pixels of 224."""
    height, width = images.shape[1:3]
    half = (level * (40 * min(height, width) / SIDE)).long()  # pixels
    return images.masked_fill(
        boxes(draws[:, 1:3], height=height, width=width, half_y=half, half_x=half), FILL
    )


FAMILIES: tuple[tuple[int, int, Change], ...] = (  # first and last operation, and the function of all
    (0, CONTRAST, _map_grey_levels),
    (COLOR, COLOR, _color),
    (SHARPNESS, SHARPNESS, _sharpness),
    (ROTATE, TRANSLATE_Y, _affine),
    (CUTOUT, CUTOUT, _cutout),
)

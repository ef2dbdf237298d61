"""Operations of RandAugment that replace each grey level by another: tables of 256 values."""

import torch
from torch import Tensor

from trials.augmentation.operations import AUTO_CONTRAST, BRIGHTNESS, CONTRAST, EQUALIZE, enhancement

GREY_WEIGHTS = (19595, 38470, 7471)  # in 1/65,536: the luma weights of ITU-R 601 as Pillow rounds them


def as_grey_levels(values: Tensor) -> Tensor:
    """Clamps to 0-255, which may be in place, and truncates to uint8, as Pillow does."""
    values = values.clamp_(0, 255)
    if values.device.type == "cpu":
        values = values.to(torch.int16)  # both conversions together take half as long as the one
    return values.to(torch.uint8)


def fixed_tables(level: Tensor) -> Tensor:
    """Tables (5, 256) of the operations up to BRIGHTNESS, which are the same for all images."""
    values = _grey_levels(level)
    # Posterize keeps the upper 4 * level bits, at least 1 and at most 8.
    dropped = 8 - (level * 4).long().clamp(1, 8)
    # Solarize inverts from a threshold on, which rises with the level.
    threshold = (level * 256).long()
    # SolarizeAdd adds up to 110 to values below the middle.
    added = (level * 110).long()
    return torch.stack(
        [
            as_grey_levels(255 - values),
            as_grey_levels((values >> dropped) << dropped),
            as_grey_levels(torch.where(values < threshold, values, 255 - values)),
            as_grey_levels(torch.where(values < 128, values + added, values)),
            as_grey_levels(values * enhancement(level)),
        ]
    )


def tables_of(codes: Tensor, level: Tensor, counts: Tensor, grey_sums: Tensor, *, pixels: int) -> Tensor:
    """The table of each image and channel, (B, 3, 256) uint8, whatever its operation: other ones keep levels.

    Args:
        codes: (B,) operations.
        counts: (B, 3, 256) histograms, used where the operation is AUTO_CONTRAST or EQUALIZE.
        grey_sums: (B,) sums of `greys` over an image's pixels, used where it is CONTRAST.
        pixels: of an image.
    """
    kept = _grey_levels(level)[None].to(torch.uint8)
    fixed = torch.cat([fixed_tables(level), kept])  # (6, 256)
    tables = fixed.index_select(0, codes.clamp(max=BRIGHTNESS + 1))[:, None]  # (B, 1, 256)
    occurs = (counts > 0).to(torch.uint8)
    low, high = occurs.argmax(2), 255 - occurs.flip(2).argmax(2)
    mean = rounded_mean(grey_sums, pixels)[:, None, None]
    values = _grey_levels(level).float().repeat(len(codes), 1, 1)  # (B, 1, 256)
    for code, own in (
        (AUTO_CONTRAST, auto_contrast_tables(low, high)),
        (EQUALIZE, equalize_tables(counts)),
        (CONTRAST, blended(mean, values, enhancement(level))),
    ):
        tables = torch.where((codes == code)[:, None, None], own, tables)
    return tables.contiguous()


def auto_contrast_tables(low: Tensor, high: Tensor) -> Tensor:
    """Tables (B, 3, 256) that stretch each channel's values, from low to high, to 0-255; both are (B, 3)."""
    low, high = low.double(), high.double()
    stretches = high > low  # a channel of one value is left as it is
    # 255 / x would round twice.
    scale = torch.where(stretches, torch.full_like(high, 255) / (high - low).clamp(min=1), 1.0)
    offset = torch.where(stretches, -low * scale, 0.0)
    return as_grey_levels((_grey_levels(low) * scale[:, :, None]).add_(offset[:, :, None]))


def equalize_tables(counts: Tensor) -> Tensor:
    """Tables (B, 3, 256) of histogram equalisation from histograms (B, 3, 256), as Pillow's integers."""
    # float64 holds all counts, and divides them several times as fast as integers.
    counts = counts.double()
    # Step 1: pixels per output level, not counting those of the brightest value that occurs.
    darker = counts.cumsum(2).sub_(counts)
    step = (darker * counts.sign()).amax(2, keepdim=True).div_(255).floor_()
    # Step 2: a value maps to the number of darker pixels in such steps.
    spread = (darker + (step / 2).floor_()).div_(step.clamp(min=1)).floor_()
    # Step 3: a step of 0 leaves the channel as it is.
    values = torch.arange(256, dtype=torch.float64, device=counts.device)
    return as_grey_levels(values.lerp(spread, step.clamp_(max=1)))


def rounded_mean(sums: Tensor, pixels: int) -> Tensor:
    """Mean grey of images from the sums of `greys` over their pixels, rounded as in Pillow; float32."""
    return ((2 * sums.long() + pixels) // (2 * pixels)).float()


def greys(images: Tensor) -> Tensor:
    """Luma of each pixel in Pillow's fixed-point arithmetic: whole numbers 0-255 as float32.

    Args:
        images: (..., 3, H, W) float32 of grey levels: their weighted sums stay below 2^24, so all is exact.
    """
    red, green, blue = images.unbind(-3)
    sums = red * GREY_WEIGHTS[0]
    sums.add_(green, alpha=GREY_WEIGHTS[1]).add_(blue, alpha=GREY_WEIGHTS[2]).add_(0x8000)
    return sums.mul_(2**-16).floor_()


def blended(plain: Tensor, values: Tensor, factor: Tensor) -> Tensor:
    """Pillow's ImageEnhance: factor 0 gives `plain` (grey or blurred), 1 the values, more exaggerates them.

    The values are float32 and overwritten, `plain` holds whole numbers of any type. The result is uint8.
    """
    return as_grey_levels(values.sub_(plain).mul_(factor).add_(plain))


def bins(images: Tensor) -> Tensor:
    """Flat index of each pixel value in a table (B, 3, 256) of its image and channel, (B, H, W * 3) int32."""
    count, _, width, _ = images.shape
    first = torch.arange(count * 3, dtype=torch.int32, device=images.device) * 256
    # Repeated along the row, so that the addition below runs over W * 3 contiguous numbers, not over 3.
    row = first.view(-1, 1, 1, 3).expand(-1, -1, width, -1).flatten(2)  # (B, 1, W * 3)
    return images.flatten(2).to(torch.int32).add_(row)


def looked_up(images: Tensor, tables: Tensor) -> Tensor:
    """Images (B, H, W, 3) with each value replaced by its one in the tables (B, 3, 256)."""
    return tables.flatten().index_select(0, bins(images).flatten()).view(images.shape)


def _grey_levels(like: Tensor) -> Tensor:
    return torch.arange(256, device=like.device)


def blurred(rows: Tensor) -> Tensor:
    """Means over 3 x 3 pixels, the middle counted five times, as whole numbers in float32.

    Args:
        rows: (B, H, W * 3) uint8.

    Returns:
        (B, H - 2, W * 3 - 6): pixels at the border have none.
    """
    values = rows.to(torch.int16)
    # The 3 x 3 sum is separable: first over rows, then over columns; 4 more of the middle make it five.
    columns = (values[:, :-2] + values[:, 1:-1]).add_(values[:, 2:])
    sums = (columns[:, :, :-6] + columns[:, :, 3:-3]).add_(columns[:, :, 6:])
    sums.add_(values[:, 1:-1, 3:-3], alpha=4)
    return sums.float().add_(6.5).div_(13).floor_()  # rounded; no sum lies half-way

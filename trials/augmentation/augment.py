"""Crop, flip and cutout in batches on the device, and the scale of a network's input."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from trials.augmentation.cpu_images import cpu_kernels_change, crop_and_flip_on_cpu
from trials.augmentation.image_ops import resized_crop
from trials.augmentation.operations import FILL

AREA = (0.05, 1.0)  # of a random resized crop, as shares of the image's
ASPECT = (3 / 4, 4 / 3)  # its width / height


def crop_and_flip(images: Tensor, uniforms: Tensor, *, padding: int, flip: bool) -> Tensor:
    """Pads with mid grey, crops back to the old size at a random place, and mirrors half of the images.

    Args:
        images: (B, H, W, 3) uint8.
        uniforms: (B, 3) in [0, 1): row, column and mirroring.

    Returns:
        (B, H, W, 3) uint8.
    """
    if cpu_kernels_change(images):
        return crop_and_flip_on_cpu(images, uniforms, padding=padding, flip=flip)
    count, height, width, _ = images.shape
    places = 2 * padding + 1  # possible places of the crop along a side
    top, left = ((uniforms[:, i] * places).long() if padding else uniforms[:, i].long() for i in range(2))
    mirrored = (uniforms[:, 2] < 0.5) & flip
    if padding:
        # Rows of (W * 3) numbers: padded faster than pixels of 3 are.
        edges = (padding * 3, padding * 3, padding, padding)
        images = functional.pad(images.flatten(2), edges, value=FILL).unflatten(2, (-1, 3))
    if images.device.type == "cpu":
        return _rows_moved(images, top, left, mirrored, height=height, width=width)
    # Crop and flip only choose rows and columns; one gather at the end moves the pixels.
    columns = torch.arange(width, device=images.device).expand(count, width)
    columns = torch.where(mirrored[:, None], width - 1 - columns, columns) + left[:, None]
    return _pixels(images, torch.arange(height, device=images.device) + top[:, None], columns)


def _rows_moved(
    images: Tensor, top: Tensor, left: Tensor, mirrored: Tensor, *, height: int, width: int
) -> Tensor:
    """The same for a CPU, which moves whole rows many times as fast as pixels of three bytes.

    Args:
        images: (B, H', W', 3) uint8, padded.
        top, left: (B,) where the crop begins.
        mirrored: (B,) bool.
    """
    count, padded_height, padded_width, channels = images.shape
    # Step 1: cut out the rows, of the mirrored images first. Each begins at some pixel of the batch.
    order = mirrored.to(torch.uint8).argsort(descending=True)
    corners = (torch.arange(count) * padded_height + top) * padded_width + left
    starts = corners.index_select(0, order)[:, None] + torch.arange(height) * padded_width
    pixels = count * padded_height * padded_width
    rows = images.contiguous().as_strided((pixels - width + 1, width * channels), (channels, 1))
    crops = rows.index_select(0, starts.flatten()).view(count, height, width, channels)
    # Step 2: mirror those, and bring all back into the batch's order.
    flipped = crops[: int(mirrored.sum())]
    flipped.copy_(flipped.flip(2))
    places = torch.empty_like(order).scatter_(0, order, torch.arange(count))
    return crops.index_select(0, places)


def _pixels(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Gathers from images (B, H, W, 3) the pixels at rows (B, H') and columns (B, W'): (B, H', W', 3)."""
    count, height, width, channels = images.shape
    first = torch.arange(count, device=images.device)[:, None] * (height * width)
    # Indices are most of the memory traffic at larger sides, so int32 where it suffices.
    whole = torch.int32 if count * height * width < 2**31 else torch.int64
    places = (first + rows * width).to(whole)[:, :, None] + columns.to(whole)[:, None, :]  # (B, H', W')
    # One flat index for each pixel: on a CPU three times as fast as indexing with rows and columns.
    return images.reshape(-1, channels).index_select(0, places.flatten()).view(*places.shape, channels)


def random_resized_crop(
    images: Tensor,
    uniforms: Tensor,
    *,
    scale: tuple[float, float] = AREA,
    ratio: tuple[float, float] = ASPECT,
    flip: bool = False,
    by_kernels: bool = False,
) -> Tensor:
    """Crops a part of each image and resizes it to the image's size, bilinearly (Szegedy et al. 2015).

    For images that already have the training stage's size; `antialiased_crop` cuts from larger ones.

    The part's share of the area is uniform in `scale`; the logarithm of its width / height is uniform in
    `ratio`, as far as a part of that area fits into the image. (Other implementations draw both again until
    the part fits, which makes large parts rarer.)

    Args:
        images: (B, H, W, 3) uint8.
        uniforms: (B, 5) in [0, 1): area, aspect ratio, row, column and mirroring.
        by_kernels: see `kernels_run`.

    Returns:
        (B, H, W, 3) uint8.
    """
    height, width = images.shape[1:3]
    # Step 1: for every row and column of the result, the (fractional) row and column of the image to sample.
    share_y, share_x = crop_shares(uniforms, height=height, width=width, scale=scale, ratio=ratio)
    rows = _positions(height, share_y, uniforms[:, 2])  # (B, H)
    columns = _positions(width, share_x, uniforms[:, 3])  # (B, W)
    if flip:
        columns = torch.where((uniforms[:, 4] < 0.5)[:, None], columns.flip(1), columns)
    if by_kernels:
        return resized_crop(images, rows, columns)
    # Step 2: bilinear interpolation is separable: first along columns, then along rows.
    same = torch.arange(height, device=images.device).expand(len(images), height)
    stretched = _between(partial(_pixels, images, same), columns, width, (-1, 1, width, 1))
    stretched = _between(partial(_lines, stretched), rows, height, (-1, height, 1, 1))
    return stretched.round_().to(torch.uint8)


def _between(
    pick: Callable[[Tensor], Tensor], positions: Tensor, side: int, shape: tuple[int, ...]
) -> Tensor:
    """Linear interpolation along one side, as float32.

    Args:
        pick: gathers pixels at whole positions (B, side).
        positions: (B, side) in [0, side - 1], not whole in general.
        shape: for broadcasting a weight per position over the pixels.
    """
    lower = positions.long()  # positions are not negative
    weights = (positions - lower).view(shape)
    start, end = pick(lower).float(), pick((lower + 1).clamp(max=side - 1)).float()
    # Along a row of (W * 3) numbers lerp is vectorised; along 3 channels it would be four times as slow.
    weights = weights.expand(-1, -1, -1, 3).flatten(2) if shape[2] > 1 else weights[..., 0]
    return start.flatten(2).lerp_(end.flatten(2), weights).view(start.shape)


def _lines(images: Tensor, rows: Tensor) -> Tensor:
    """Gathers from images (B, H, W, 3) the rows (B, H'): (B, H', W, 3)."""
    count, height, width, channels = images.shape
    places = rows + torch.arange(count, device=images.device)[:, None] * height
    lines = images.reshape(count * height, width * channels).index_select(0, places.flatten())
    return lines.view(count, -1, width, channels)


def crop_shares(
    uniforms: Tensor, *, height: int, width: int, scale: tuple[float, float], ratio: tuple[float, float]
) -> tuple[Tensor, Tensor]:
    """Height and width of the cropped part as shares of the image's, (B,) each."""
    area = scale[0] + (scale[1] - scale[0]) * uniforms[:, 0]
    # Relative to the image's own width / height, aspect ratios from `area` to 1 / `area` fit into the image.
    low, high = ((area * 0 + bound * height / width).clamp(area, 1 / area).log() for bound in ratio)
    shape = (low + (high - low) * uniforms[:, 1]).exp()
    return (area / shape).sqrt().clamp(max=1), (area * shape).sqrt().clamp(max=1)


def _positions(side: int, share: Tensor, start: Tensor) -> Tensor:
    """Positions in the image to sample for each pixel of the result, (B, side) in [0, side - 1].

    They are pixel centres, the half-pixel convention. `share` (B,) is the part's share of the side, `start`
    (B,) in [0, 1) its place among all that are possible.
    """
    steps = torch.arange(side, device=share.device) + 0.5
    first = start * (1 - share) * side
    return (first[:, None] + steps * share[:, None] - 0.5).clamp(0, side - 1)


def cutout(images: Tensor, uniforms: Tensor, *, share: float) -> Tensor:
    """Covers a random square with mid grey (DeVries and Taylor 2017); it may reach over the image's edge.

    Args:
        images: (B, H, W, 3) uint8.
        uniforms: (B, 2) in [0, 1): row and column of the square's centre.
        share: the square's side, as a share of the image's shorter one.
    """
    height, width = images.shape[1:3]
    half = torch.full((), share * min(height, width) / 2, device=images.device)
    return images.masked_fill(boxes(uniforms, height=height, width=width, half_y=half, half_x=half), FILL)


def boxes(uniforms: Tensor, *, height: int, width: int, half_y: Tensor, half_x: Tensor) -> Tensor:
    """A mask (B, H, W, 1) of the pixels in a box with a random centre in each image.

    Args:
        uniforms: (B, 2) in [0, 1): row and column of the centre.
        half_y, half_x: (B,) or 0-dim, half of the box's height and width in pixels; 0 covers nothing.
    """
    rows = _interval(uniforms[:, 0], height, half_y)
    columns = _interval(uniforms[:, 1], width, half_x)
    return (rows[:, :, None] & columns[:, None, :])[..., None]


def _interval(uniforms: Tensor, side: int, half: Tensor) -> Tensor:
    """A mask (B, side) of the rows or columns in [centre - half, centre + half)."""
    offsets = torch.arange(side, device=uniforms.device) - (uniforms * side).floor()[:, None]
    half = half.reshape(-1, 1)
    return (offsets >= -half) & (offsets < half)


def to_input(images: Tensor) -> Tensor:
    """Network input from images: (B, H, W, 3) uint8 to (B, 3, H, W) float32 in channels_last.

    Pixels become (x - 128) / 128, as in the official code.
    """
    return images.permute(0, 3, 1, 2).to(torch.float32).sub_(128).div_(128)

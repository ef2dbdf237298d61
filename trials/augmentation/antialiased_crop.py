"""Random crops of pictures that are larger than a training stage's, resized to its size with antialiasing.

As in the official code, a part is cut from a larger picture, and resized by a filter whose width grows with
the ratio of the sizes: the bilinear (triangle) filter of Pillow and of torch with `antialias=True`, of the
part's own pixels alone. A picture that was reduced before has lost what the part would show.

| device | computed | rounded to grey levels |
|---|---|---|
| CPU | by torch's interpolation in integers, one image after the other | after columns and after rows |
| CUDA, own kernels | in float32, all taps of a pixel | once; of two the even one |
| any other | in float32, as a product of each image's own two matrices | once; of two the even one |

They differ by one grey level at most.
"""

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from trials.augmentation.augment import AREA, ASPECT, crop_shares
from trials.augmentation.image_ops import antialiased_crop

MOST_FLOATS = 1 << 25  # of pictures that lie on the device as floats at a time (128 MiB)


def antialiased_resized_crop(
    images: Tensor,
    uniforms: Tensor,
    resolution: int,
    *,
    flip: bool = False,
    by_kernels: bool = False,
) -> Tensor:
    """Crops a random part of each image, in whole pixels, and resizes it to the resolution.

    Parts are drawn as by `random_resized_crop`. Nothing waits for a GPU, and no shape depends on a draw.

    Args:
        images: (B, H, W, 3) uint8.
        uniforms: (B, 5) in [0, 1): area, aspect ratio, row, column and mirroring.
        by_kernels: see `kernels_run`.

    Returns:
        (B, R, R, 3) uint8, R being `resolution`.
    """
    boxes = crop_boxes(uniforms, height=images.shape[1], width=images.shape[2])
    mirrored = (uniforms[:, 4] < 0.5) & flip
    if by_kernels:
        return antialiased_crop(images, boxes, mirrored, resolution)
    if images.device.type == "cpu":
        return by_integers(images, boxes, mirrored, resolution)
    return by_matrices(images, boxes, mirrored, resolution)


def crop_boxes(uniforms: Tensor, *, height: int, width: int) -> Tensor:
    """Random parts of pictures of this size: (B, 4) int64, top, left, height and width in pixels."""
    boxes = []
    shares = crop_shares(uniforms, height=height, width=width, scale=AREA, ratio=ASPECT)
    for side, share, start in zip((height, width), shares, (uniforms[:, 2], uniforms[:, 3]), strict=True):
        length = (share * side).round().clamp(1, side)
        boxes += [(start * (side - length + 1)).floor(), length]
    top, height_of_part, left, width_of_part = boxes
    return torch.stack([top, left, height_of_part, width_of_part], dim=1).long()


def by_integers(images: Tensor, boxes: Tensor, mirrored: Tensor, resolution: int) -> Tensor:
    """Crops on a CPU, where torch's interpolation is 2 to 13 times as fast as a product of matrices."""
    out = torch.empty(len(images), resolution, resolution, 3, dtype=torch.uint8)
    parts = zip(images.permute(0, 3, 1, 2), out, boxes.tolist(), mirrored.tolist(), strict=True)
    for picture, own, (top, left, height, width), is_mirrored in parts:
        part = picture[None, :, top : top + height, left : left + width]
        (resized,) = interpolate(part, size=(resolution, resolution), mode="bilinear", antialias=True)
        own.copy_((resized.flip(2) if is_mirrored else resized).permute(1, 2, 0))
    return out


def by_matrices(images: Tensor, boxes: Tensor, mirrored: Tensor, resolution: int) -> Tensor:
    """Crops on any device: out = rows @ image @ columns^T, with the filter's weights of each part."""
    count, height, width, _ = images.shape
    out = torch.empty(count, resolution, resolution, 3, dtype=torch.uint8, device=images.device)
    # Step 1: a bounded number of images at a time, since as floats they take four times their bytes.
    at_once = max(1, MOST_FLOATS // (3 * height * width))
    for part, box, flips, own in zip(
        *(tensor.split(at_once) for tensor in (images, boxes, mirrored, out)), strict=True
    ):
        # Step 2: weights of the picture's rows and columns in those of the result; mirrored by their order.
        rows = filter_weights(box[:, 0], box[:, 2], side=height, resolution=resolution)  # (B, R, H)
        columns = filter_weights(box[:, 1], box[:, 3], side=width, resolution=resolution)  # (B, R, W)
        columns = torch.where(flips[:, None, None], columns.flip(1), columns)
        # Step 3: along the rows, then along the columns.
        lines = torch.bmm(rows, part.to(torch.float32).flatten(2)).unflatten(2, (width, 3))  # (B, R, W, 3)
        # Columns come first for it: matmul would make a copy of the weights for every row.
        lines = lines.transpose(1, 2).flatten(2)  # (B, W, R * 3)
        pixels = torch.bmm(columns, lines).unflatten(2, (resolution, 3)).transpose(1, 2)  # (B, R, R, 3)
        own.copy_(pixels.round_().clamp_(0, 255))
    return out


def filter_weights(first: Tensor, length: Tensor, *, side: int, resolution: int) -> Tensor:
    """Weights (B, R, side) of a line's pixels in those of its part, resized; each row adds up to 1.

    Args:
        first, length: (B,) int64, of the part, in pixels.
    """
    first, length = first.to(torch.float32)[:, None, None], length.to(torch.float32)[:, None, None]
    ratio = length / resolution
    centres = first + (torch.arange(resolution, device=first.device) + 0.5)[:, None] * ratio  # (B, R, 1)
    places = torch.arange(side, device=first.device) + 0.5
    weights = (1 - (places - centres).abs() / ratio.clamp(min=1)).clamp_(min=0)  # (B, R, side)
    weights = weights * ((places > first) & (places < first + length))
    return weights / weights.sum(dim=2, keepdim=True)

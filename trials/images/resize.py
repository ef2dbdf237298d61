"""Antialiased bilinear resizing of batches on any device, to the pixels of Pillow's filter within one level.

On a GPU, whose kernels take no bytes, it is a product of matrices: for one pair of sizes the matrix holds the
triangle filter's weights, whose width grows with the ratio of the sizes. On a CPU torch computes in integers,
as Pillow does, and takes a twentieth of the time of those products.
"""

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import interpolate

AT_ONCE = 64  # images, whose floats take 12 bytes a pixel


@lru_cache(maxsize=64)
def resize_matrix(size: int, wanted: int, device: torch.device) -> Tensor:
    """Weights (wanted, size) of each pixel of a line in each pixel of the resized line; rows add up to 1."""
    ratio = size / wanted
    reach = max(ratio, 1.0)  # half of the filter's width, in pixels of the line
    centres = (torch.arange(wanted, dtype=torch.float64) + 0.5) * ratio
    places = torch.arange(size, dtype=torch.float64) + 0.5
    weights = (1.0 - (places - centres[:, None]).abs() / reach).clamp(min=0.0)
    return (weights / weights.sum(dim=1, keepdim=True)).to(device, torch.float32)


def resized_batch(pixels: Tensor, wanted: int) -> Tensor:
    """Resizes images (B, S, S, 3) uint8 to (B, R, R, 3) uint8, R being `wanted`."""
    if pixels.shape[1] == wanted:
        return pixels
    if pixels.device.type == "cpu":
        channels = pixels.permute(0, 3, 1, 2)
        resized = interpolate(channels, size=(wanted, wanted), mode="bilinear", antialias=True)
        return resized.permute(0, 2, 3, 1).contiguous()
    return by_matrices(pixels, wanted)


def by_matrices(pixels: Tensor, wanted: int) -> Tensor:
    """Likewise, by a product of matrices for rows and columns."""
    matrix = resize_matrix(pixels.shape[1], wanted, pixels.device)
    out = torch.empty((len(pixels), wanted, wanted, 3), dtype=torch.uint8, device=pixels.device)
    for part, own in zip(pixels.split(AT_ONCE), out.split(AT_ONCE), strict=True):
        channels = part.permute(0, 3, 1, 2).to(torch.float32)  # (B, 3, S, S)
        lines = matrix @ channels @ matrix.T  # (B, 3, R, R)
        own.copy_(lines.round_().clamp_(0, 255).permute(0, 2, 3, 1))
    return out

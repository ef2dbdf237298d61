"""Synthetic batches for timing a training step and for testing whether it fits in memory."""

from dataclasses import dataclass

import torch
from torch import Tensor

# Values that are drawn; longer batches repeat them on the device, since to draw and copy a batch of 4096
# images takes the host seconds. A prime, so that no two images or rows are alike.
DRAWN = 1_000_003


@dataclass(frozen=True)
class SyntheticBatch:
    """A synthetic batch on the device: images (B, H, W, 3) uint8 and labels (B,)."""

    images: Tensor
    labels: Tensor

    @classmethod
    def random(
        cls, *, batch_size: int, resolution: int, num_classes: int, device: torch.device
    ) -> "SyntheticBatch":
        """A batch of random pixels and labels, the same at every call and on every device.

        Torch's own generators are left alone.
        """
        generator = torch.Generator().manual_seed(0)
        shape = (batch_size, resolution, resolution, 3)
        size = batch_size * resolution * resolution * 3
        drawn = torch.randint(0, 256, (min(size, DRAWN),), dtype=torch.uint8, generator=generator)
        pixels = drawn.to(device)
        if size > DRAWN:
            pixels = pixels.repeat(-(-size // DRAWN))[:size]
        labels = torch.randint(0, num_classes, (batch_size,), generator=generator)
        return cls(pixels.view(shape), labels.to(device))

"""Synthetic batches for timing a training step and for testing whether it fits in memory."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class SyntheticBatch:
    """A synthetic batch on the device: images (B, H, W, 3) uint8 and labels (B,)."""

    images: Tensor
    labels: Tensor

    @classmethod
    def random(
        cls, *, batch_size: int, resolution: int, num_classes: int, device: torch.device
    ) -> "SyntheticBatch":
        """A batch of random pixels and labels, the same at every call."""
        generator = torch.Generator().manual_seed(0)
        shape = (batch_size, resolution, resolution, 3)
        return cls(
            torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator).to(device),
            torch.randint(0, num_classes, (batch_size,), generator=generator).to(device),
        )

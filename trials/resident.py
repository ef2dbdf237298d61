"""The packed images of one resolution, where a trial's device reads them."""

import warnings

import numpy as np
import torch
from torch import Tensor

from trials.packed import TrialImages

# A resident set may take this share of the device's free memory; the rest is the training's.
RESIDENT_SHARE = 0.4


class ResidentImages:
    """uint8 images and labels on the device if they fit, else memory-mapped and copied batch by batch."""

    def __init__(self, packed: TrialImages, device: torch.device) -> None:
        images = _tensor(packed.images)
        self.device = device
        self.labels = torch.from_numpy(np.ascontiguousarray(packed.labels)).to(device)
        self.train = torch.from_numpy(np.ascontiguousarray(packed.train))
        self.minival = torch.from_numpy(np.ascontiguousarray(packed.minival))
        self.classes = packed.classes
        self.resolution = int(packed.images.shape[1])
        self._resident = device.type == "cpu" or self._fits(images)
        self._images = images.to(device) if self._resident else images

    def _fits(self, images: Tensor) -> bool:
        free, _ = torch.cuda.mem_get_info(self.device)
        return images.numel() < RESIDENT_SHARE * free

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Images (B, H, W, 3) uint8 and labels (B,) or (B, L) on the device, of host indices (B,)."""
        on_device = indices.to(self.device, non_blocking=True)
        if self._resident:
            return self._images[on_device], self.labels[on_device]
        gathered = self._images[indices].pin_memory()
        return gathered.to(self.device, non_blocking=True), self.labels[on_device]


def _tensor(array: np.ndarray) -> Tensor:
    with warnings.catch_warnings():
        # The memory map is read-only, which torch cannot express; nothing here writes into it.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(np.asarray(array))

"""The packed images of one resolution on a trial's device."""

import warnings

import numpy as np
import torch
from torch import Tensor

from trials.images.packed import TrialImages

# Share of the device's free memory that resident images may take; training needs the rest.
RESIDENT_SHARE = 0.4


class ResidentImages:
    """uint8 images and labels on the device; images that do not fit there stay memory-mapped on the host."""

    def __init__(self, packed: TrialImages, device: torch.device) -> None:
        images = _tensor(packed.images)
        self.device = device
        self.labels = torch.from_numpy(np.ascontiguousarray(packed.labels)).to(device)
        self.train = torch.from_numpy(np.ascontiguousarray(packed.train))
        self.minival = torch.from_numpy(np.ascontiguousarray(packed.minival))
        self.classes = packed.classes
        self.resolution = packed.resolution
        # A pack from which several sizes are made would lie on the device once for each.
        self.is_resident = device.type == "cpu" or (packed.resized_to is None and self._fits(images))
        self.checks = packed.checks
        if device.type != "cpu" and self.is_resident and self.checks is not None:
            self.check(torch.arange(len(images)))  # before they are copied
        # (N, S, S, 3) uint8, S being the resolution or a larger one, from which batches are resized
        self.pixels = images.to(device) if self.is_resident else images

    def check(self, indices: Tensor) -> None:
        """Compares images at indices (B,) on the CPU with their checksums, when they are first used.

        Raises:
            DamagedPackError: one is not as it was packed.
        """
        if self.checks is not None:
            self.checks.check(indices.numpy())

    def _fits(self, images: Tensor) -> bool:
        free, _ = torch.cuda.mem_get_info(self.device)
        return images.numel() < RESIDENT_SHARE * free


def _tensor(array: np.ndarray) -> Tensor:
    with warnings.catch_warnings():
        # The memory map is read-only, which torch cannot express; nothing here writes into it.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(np.asarray(array))

"""The check of a device's own kernels of augmentation: they must give the images of torch's operators."""

import os
import warnings
from functools import lru_cache
from importlib.util import find_spec

import torch
from torch import Tensor

from trials.augmentation.antialiased_crop import by_matrices, crop_boxes
from trials.augmentation.augment import random_resized_crop
from trials.augmentation.image_ops import antialiased_crop
from trials.augmentation.mixing import mixup
from trials.augmentation.operations import DRAWS_PER_LAYER, OPS
from trials.augmentation.randaugment import rand_augment
from trials.devices.device_errors import names_device_fault
from trials.devices.environment import FUSED_KERNELS

IMAGES, HEIGHT, WIDTH = 2 * len(OPS), 12, 20  # that are tried: every operation twice
SIDE = 9  # of crops that are resized: some of them smaller, some larger than it
# Share of an image's grey levels that may differ: of pixels whose source lies on the border of two, and of
# blends that are rounded differently.
TOLERANCE = 0.03


def kernels_run(device: torch.device) -> bool:
    """True if Triton's kernels augment images on a device: on CUDA, where they agree with torch's operators.

    Each process checks each device once, outside of CUDA graphs. On a CPU, Triton's interpreter may run them
    for tests (TRITON_INTERPRET=1).

    Raises:
        RuntimeError: a fault of the device, after which the process must not use it any more.
    """
    wanted = os.environ.get(FUSED_KERNELS)
    if device.type != "cuda":
        return wanted == "1" and os.environ.get("TRITON_INTERPRET") == "1"
    if wanted in ("0", "1"):
        return wanted == "1"
    return find_spec("triton") is not None and _agree(device)


@lru_cache
def _agree(device: torch.device) -> bool:
    try:
        share = differing_share(device)
    except Exception as error:  # of Triton's compiler or its launcher
        if names_device_fault(str(error)):
            error.add_note(f"while trying own kernels, which {FUSED_KERNELS}=0 forbids")
            raise
        reason = f"own kernels do not run: {type(error).__name__}: {error}"
    else:
        if share <= TOLERANCE:
            return True
        reason = (
            f"own kernels change {100 * share:.1f} % of an image's grey levels otherwise, more than "
            f"{100 * TOLERANCE:.0f} %"
        )
    warnings.warn(f"{device} augments images by torch's operators: {reason}", stacklevel=3)
    return False


def differing_share(device: torch.device) -> float:
    """Share of grey levels on which own kernels and torch's operators differ, in the worst of all images."""
    generator = torch.Generator().manual_seed(0)
    size = (IMAGES, HEIGHT, WIDTH, 3)
    images = torch.randint(0, 256, size, generator=generator, dtype=torch.uint8).to(device)
    uniforms = torch.rand(IMAGES, DRAWS_PER_LAYER, generator=generator).to(device)
    uniforms[:, 0] = (torch.arange(IMAGES, device=device) % len(OPS) + 0.5) / len(OPS)
    places = torch.rand(IMAGES, 5, generator=generator).to(device)

    boxes = crop_boxes(places, height=HEIGHT, width=WIDTH)
    cut = (images, boxes, places[:, 4] < 0.5, SIDE)

    def results(by_kernels: bool) -> list[Tensor]:
        return [
            random_resized_crop(images, places, flip=True, by_kernels=by_kernels),
            rand_augment(images, uniforms, magnitude=7.3, layers=1, by_kernels=by_kernels),
            mixup(images, uniforms[:, 1], by_kernels=by_kernels)[0],
        ]

    pairs = zip(results(True), results(False), strict=True)
    different = [own != torchs for own, torchs in pairs]
    # Antialiased crops are sums of many products; where they lie between two levels, either one is right.
    different.append((antialiased_crop(*cut).int() - by_matrices(*cut).int()).abs() > 1)
    return max(each.float().mean((1, 2, 3)).max().item() for each in different)

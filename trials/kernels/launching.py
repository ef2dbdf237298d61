"""Launch of Triton's kernels, and the devices that they run on."""

import os
from typing import Any

import torch
from torch import Tensor

TYPES = (torch.float32, torch.bfloat16, torch.float16)  # of features
# Arguments that vary with networks and images. Kernels are not compiled anew for each kind of number.
SIZES = [
    "rows", "pixels", "rows_per_split", "rows_per_program", "splits", "samples", "channels", "channels_by",
    "blocks",
]  # fmt: skip


def launch(kernel: Any, programs: int, *arguments: Any, **named: Any) -> None:
    """Launches so many programs of a kernel on the device of its first argument and its current stream."""
    if arguments[0].is_cuda:
        with torch.cuda.device(arguments[0].device):  # Triton launches on the current device
            kernel[(programs,)](*arguments, **named)
    else:
        kernel[(programs,)](*arguments, **named)


def runs_on(x: Tensor) -> bool:
    """True if the kernels take this tensor: features of a type that they know, on CUDA or interpreted."""
    return x.dtype in TYPES and (x.is_cuda or is_interpreted())


def is_interpreted() -> bool:
    """True if Triton's interpreter runs the kernels, on the CPU: for tests (TRITON_INTERPRET=1)."""
    return os.environ.get("TRITON_INTERPRET") == "1"

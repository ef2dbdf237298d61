"""The precisions that networks compute in: what a device has in hardware, and torch's settings for each.

fp32   float32 throughout: TF32, which torch uses in convolutions by default, is off
tf32   float32 whose products have 10 bits of mantissa, on the tensor cores of CUDA devices
bf16   autocast to bfloat16
fp16   autocast to float16, with a scaled loss
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import torch

from search_spaces.settings.config_error import ConfigError

HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}  # the types of half precision
# From these compute capabilities on, a CUDA device multiplies in a precision on its tensor cores.
BF16_FROM, FP16_FROM = (8, 0), (7, 0)
NEEDED = {"bf16": BF16_FROM, "tf32": BF16_FROM, "fp16": FP16_FROM}


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """The context of a forward pass in a precision.

    The settings of torch.backends, which belong to the process, are this precision's from now on: the
    backward pass, which comes behind the context, needs them, too.
    """
    if device.type == "cuda":
        use_tf32(precision == "tf32")
    if precision in HALF:
        return torch.autocast(device.type, dtype=HALF[precision])
    return nullcontext()


def use_tf32(used: bool) -> None:
    """Sets whether products of float32 are computed in TF32 on CUDA. The only place that sets it."""
    wanted = "tf32" if used else "ieee"
    cudnn: Any = torch.backends.cudnn
    # All of cuDNN's: torch refuses to say what holds where they differ.
    for operations in (cudnn.conv, cudnn.rnn, cast(Any, torch.backends.cuda.matmul)):
        if operations.fp32_precision != wanted:
            operations.fp32_precision = wanted


def fastest_of_cuda(device: torch.device) -> tuple[str, str]:
    """The precision that `auto` means on a CUDA device, and the reason."""
    capability = torch.cuda.get_device_capability(device)
    if capability >= BF16_FROM:
        return "bf16", f"{sm(capability)} has it in hardware"
    if capability >= FP16_FROM:
        return "fp16", f"{sm(capability)} has no bf16 in hardware"
    return "fp32", f"{sm(capability)} has no half precision in hardware"


def check_precision(precision: str, device: torch.device, *, name: str = "precision") -> None:
    """Checks that a device can train in a precision that was asked for; `auto` always can.

    Args:
        name: where it was asked for, in the message.

    Raises:
        ConfigError: it cannot, or would be slower than in fp32.
    """
    if device.type == "cpu":
        if precision in ("fp16", "tf32"):
            raise ConfigError(f"{name}: {precision} is for GPUs; on a CPU use fp32, bf16 or auto")
        return
    capability, needed = torch.cuda.get_device_capability(device), NEEDED.get(precision)
    if needed is not None and capability < needed:
        instead = fastest_of_cuda(device)[0]
        raise ConfigError(
            f"{name}: {precision} needs {sm(needed)} or later, and {torch.cuda.get_device_name(device)} "
            f"is {sm(capability)}; use {instead} or auto"
        )


def sm(capability: tuple[int, int]) -> str:
    """A compute capability as NVIDIA writes it, sm_75."""
    return f"sm_{capability[0]}{capability[1]}"

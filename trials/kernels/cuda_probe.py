"""The probe of own kernels on a device: they must agree with torch's operators there, and be faster.

Each process asks its device once for each type of features. The environment may forbid them, or have them
used without being asked.
"""

import os
import statistics
import warnings
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from search_spaces.networks.squeeze_excite import SqueezeExcite
from search_spaces.settings.sentences import first_line
from trials.devices.arithmetic import HALF
from trials.devices.device import clock_of
from trials.devices.device_errors import CaptureFailedError, names_device_fault
from trials.devices.environment import FUSED_KERNELS
from trials.kernels.cuda_norm import KernelBatchNorm2d
from trials.kernels.launching import is_interpreted

# Images, channels and side of the features that are tried: an early layer and a late one with its gates, of
# 100 MB each, which no cache holds, and one of few pixels, for which there are kernels of their own.
GATED_FROM = 512  # channels, from which on squeeze-excite is tried, too
SHAPES = ((128, 96, 64), (256, 768, 16), (64, 40, 4))
ROUNDS, CALLS = 5, 10
GAIN = 1.05  # torch's time over the kernels', from which on they are used
# Largest difference over the largest value. Float32 is compared with float64, the others with float32.
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 2e-2, torch.float16: 4e-3}


@dataclass(frozen=True)
class Verdict:
    """The answer whether the kernels are used on a device, and the reason."""

    used: bool
    reason: str


@dataclass(frozen=True)
class Comparison:
    """The kernels beside torch's operators on one shape: seconds of each, and their relative difference."""

    shape: tuple[int, int, int]
    difference: float
    kernel_seconds: float
    torch_seconds: float


class Recorded(Protocol):
    """Captured work."""

    @property
    def replay(self) -> Callable[[], object]:
        """Repeats the work."""
        ...

    @property
    def close(self) -> Callable[[], object]:
        """Gives its memory back."""
        ...


Record = Callable[[Callable[[], Any]], Recorded]


def kernels_verdict(device: torch.device, precision: str, record: Record | None) -> Verdict:
    """The verdict on steps in this precision on a device.

    Args:
        record: captures work, as steps are captured; None: steps are launched kernel by kernel.

    Raises:
        CaptureFailedError, RuntimeError: a fault of the device, after which the process must not use it.
    """
    wanted = os.environ.get(FUSED_KERNELS)
    if wanted == "0":
        return Verdict(False, f"{FUSED_KERNELS}=0 forbids them")
    if device.type != "cuda" and not is_interpreted():
        return Verdict(False, "they are for CUDA devices")
    if wanted == "1":
        return Verdict(True, f"{FUSED_KERNELS}=1 uses them without a probe")
    if record is None:
        return Verdict(False, "launched one by one from Python, they would take longer than torch's")
    if find_spec("triton") is None:
        return Verdict(False, "triton is not installed")
    dtype = HALF.get(precision, torch.float32)
    if (device, dtype) not in _VERDICTS:
        _VERDICTS[device, dtype] = probed(partial(compare, device, dtype, record), TOLERANCE[dtype])
    verdict = _VERDICTS[device, dtype]
    if not verdict.used:
        warnings.warn(f"{device} {precision} runs torch's kernels: {verdict.reason}", stacklevel=2)
    return verdict


_VERDICTS: dict[tuple[torch.device, torch.dtype], Verdict] = {}  # of this process


def probed(comparison: Callable[[tuple[int, int, int]], Comparison], tolerance: float) -> Verdict:
    """The verdict on what was compared, shape by shape.

    Raises:
        CaptureFailedError, RuntimeError: a fault of the device, after which the process must not use it.
    """
    found = []
    for shape in SHAPES:
        try:
            found.append(comparison(shape))
        except Exception as error:  # of Triton's compiler, its launcher, or for want of memory
            if isinstance(error, CaptureFailedError) or names_device_fault(str(error)):
                error.add_note(f"while probing own kernels, which {FUSED_KERNELS}=0 forbids")
                raise
            return Verdict(False, f"own ones do not run: {type(error).__name__}: {first_line(error)}")
    wrong = [each for each in found if not each.difference <= tolerance]  # NaN is wrong, too
    if wrong:
        return Verdict(
            False,
            f"own ones differ by {wrong[0].difference:.1e} at {wrong[0].shape}, more than {tolerance:g}",
        )
    gains = [each.torch_seconds / each.kernel_seconds for each in found]
    if min(gains) < GAIN:
        worst = found[gains.index(min(gains))]
        return Verdict(False, f"own ones take {1 / min(gains):.2f} of the time of torch's at {worst.shape}")
    return Verdict(True, f"{min(gains):.2f} to {max(gains):.2f} times as fast as torch's, and equal to them")


Forward = Callable[[nn.BatchNorm2d, SqueezeExcite | None, Tensor], Tensor]


def compare(
    device: torch.device, dtype: torch.dtype, record: Record | None, shape: tuple[int, int, int]
) -> Comparison:
    """Forward and backward of batch norm, SiLU and, from GATED_FROM channels on, squeeze-excite.

    Args:
        record: captures work, as steps are; None: it is called.
    """
    norm, excite, x, gradient = _made(device, dtype, shape)
    kernels = KernelBatchNorm2d(norm, activation=True)
    # Step 1: agreement with torch's result in a wider type.
    wide = torch.float64 if dtype == torch.float32 else torch.float32
    others = deepcopy(norm).to(wide), deepcopy(excite).to(wide) if excite is not None else None
    own = _results(_own, kernels, excite, x, gradient)
    exact = _results(_plain, *others, x.to(wide), gradient.to(wide))
    differences = ((a.to(wide) - b).abs().max() / b.abs().max() for a, b in zip(own, exact, strict=True))
    difference = max(map(float, differences))
    # Step 2: time, in turns.
    del own, exact, others
    works = compared_layers(device, dtype, shape)[:2]
    recorded = [] if record is None else [record(work) for work in works]
    clock = clock_of(device)
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for work, times in zip([each.replay for each in recorded] or works, seconds, strict=True):
            begun = clock()
            for _ in range(CALLS):
                work()
            times.append((clock() - begun) / CALLS)
    for each in recorded:
        each.close()
    return Comparison(shape, difference, *(statistics.median(times) for times in seconds))


def compared_layers(
    device: torch.device, dtype: torch.dtype, shape: tuple[int, int, int]
) -> tuple[Callable[[], object], Callable[[], object], Tensor]:
    """Forward and backward as `compare` times them: by own kernels, by torch's operators; and their input."""
    norm, excite, x, gradient = _made(device, dtype, shape)
    kernels = KernelBatchNorm2d(norm, activation=True)
    own = partial(_results, _own, kernels, excite, x, gradient)
    return own, partial(_results, _plain, norm, excite, x, gradient), x


def _made(
    device: torch.device, dtype: torch.dtype, shape: tuple[int, int, int]
) -> tuple[nn.BatchNorm2d, SqueezeExcite | None, Tensor, Tensor]:
    """Modules, features and a gradient, always the same; torch's generators stay as they are."""
    images, channels, side = shape
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(0)
        size = (images, channels, side, side)
        x = (2 * torch.randn(size, device=device) + 1).to(dtype, memory_format=torch.channels_last)
        gradient = torch.randn(size, device=device).to(dtype, memory_format=torch.channels_last)
        norm = nn.BatchNorm2d(channels, eps=1e-3, device=device)
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.uniform_(norm.bias, -1, 1)
        excite = None
        if channels >= GATED_FROM:
            excite = SqueezeExcite(channels, squeeze_channels=channels // 24).to(device)
    return norm, excite, x, gradient


def _own(norm: nn.BatchNorm2d, excite: SqueezeExcite | None, x: Tensor) -> Tensor:
    assert isinstance(norm, KernelBatchNorm2d)
    return norm(x) if excite is None else norm.gated(x, excite)


def _plain(norm: nn.BatchNorm2d, excite: SqueezeExcite | None, x: Tensor) -> Tensor:
    activated = functional.silu(norm(x), inplace=True)
    return activated if excite is None else excite(activated)


def _results(
    forward: Forward, norm: nn.BatchNorm2d, excite: SqueezeExcite | None, x: Tensor, gradient: Tensor
) -> tuple[Tensor, ...]:
    """The output, and the gradients of x and of all parameters."""
    x = x.detach().requires_grad_()
    parameters = [*norm.parameters(), *(() if excite is None else excite.parameters())]
    half = x.dtype in HALF.values()
    with torch.autocast(x.device.type, dtype=x.dtype if half else torch.bfloat16, enabled=half):
        output = forward(norm, excite, x)
    return output.detach(), *torch.autograd.grad(output, [x, *parameters], gradient)

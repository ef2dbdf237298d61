"""Kernels and bytes that each own operator declares, by which those of a step are counted."""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor


class Cost(NamedTuple):
    """Kernels and bytes of one call."""

    kernels: int
    bytes: int  # read and written


# By the operator's name, from its arguments.
COSTS: dict[str, Callable[..., Cost]] = {}


def bytes_of(*tensors: Tensor | None) -> int:
    """Bytes of these tensors together; None has none."""
    return sum(each.numel() * each.element_size() for each in tensors if each is not None)

"""Kernel sizes, expansion ratios and activations: their types, for stages and for the options of spaces."""

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

KERNEL_SIZES = (1, 3, 5, 7, 9, 11)
ABSENT: Final = 0  # as a kernel size: no convolution there; only ops that say so take it
MIN_EXPANSION, MAX_EXPANSION = 0.25, 64

Activation = Literal["silu", "relu", "relu6", "hard_swish", "gelu"]
SILU: Final = "silu"  # of every network that does not say, as in the official code


def _kernel_size(size: int) -> int:
    if size not in (ABSENT, *KERNEL_SIZES):
        raise ValueError(f"{size} is not one of {named(KERNEL_SIZES)}")
    return size


def _start_kernel_size(size: int) -> int:
    if size not in (ABSENT, *KERNEL_SIZES[1:]):
        raise ValueError(f"{size} is not one of {named(KERNEL_SIZES[1:])}, {ABSENT}")
    return size


def _whole_as_int(number: float) -> float:
    """A whole number as an int, so that 4.0 is shown, written and hashed as 4."""
    return int(number) if number == int(number) else number


KernelSize = Annotated[int, AfterValidator(_kernel_size)]
StartKernelSize = Annotated[int, AfterValidator(_start_kernel_size)]
ExpansionRatio = Annotated[
    float, Field(ge=MIN_EXPANSION, le=MAX_EXPANSION), AfterValidator(_whole_as_int)
]  # an int where it is whole


def expanded_width(in_channels: int, expansion_ratio: float) -> int:
    """The channels between an inverted block's expansion and its projection, rounded, halves up."""
    return max(1, int(in_channels * expansion_ratio + 0.5))


def named(sizes: tuple[int, ...]) -> str:
    """Sizes as messages name them."""
    return ", ".join(map(str, sizes))


def kernel_words(kernel_size: int, start_kernel_size: int) -> str:
    """Kernel sizes as tables show them: 5, or 3+5 where one of 3 comes before the expansion."""
    return f"{start_kernel_size}+{kernel_size}" if start_kernel_size else str(kernel_size)

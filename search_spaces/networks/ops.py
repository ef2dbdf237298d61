"""The ops by name, and facts that spaces, costs and pictures need; blocks.py has their modules."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, NamedTuple

from pydantic import BeforeValidator

from search_spaces.networks.stage_fields import ABSENT, SILU, expanded_width
from search_spaces.settings.near_names import suggestion
from search_spaces.settings.places import shown

# A class in a module of the user's: ASCII, so that no two names look alike, and no path.
OWN_OP = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)
OWN_FORM = "package.module:Class"
MAX_NAME = 200  # characters


def is_own_op(op: str) -> bool:
    """True of the name of an op that is the user's: `package.module:Class`."""
    return len(op) <= MAX_NAME and OWN_OP.fullmatch(op) is not None


def _op(given: Any) -> Any:
    """An op's name as it is given; nothing is imported.

    Raises:
        ValueError: there is no shipped op of that name, and it has not the form of the user's own.
    """
    names = sorted(SHIPPED_OPS)
    if isinstance(given, bool) or not isinstance(given, str | int | float):
        raise ValueError(f"{shown(given)} given; expected one of {', '.join(SHIPPED_OPS)}, or {OWN_FORM}")
    if given in SHIPPED_OPS or (isinstance(given, str) and is_own_op(given)):
        return given
    if isinstance(given, str) and ":" in given:
        raise ValueError(
            f"{shown(given)} is not an op; one of your own is {OWN_FORM}, of letters without accents, digits "
            f"and _, in at most {MAX_NAME} characters"
        )
    raise ValueError(f"{no_op(given)}{suggestion(str(given), names)}")


def no_op(given: Any) -> str:
    """A sentence about a value that is not the name of an op."""
    return f"{shown(given)} is not an op; ops are {', '.join(sorted(SHIPPED_OPS))}"


Op = Annotated[str, BeforeValidator(_op)]

MBCONV: Final = "mbconv"
FUSED: Final = "fused_mbconv"  # the paper's question: in which stages it is better
UIB: Final = "uib"
CONV: Final = "conv"
OWN: Final = "own"  # said of the activation of an op that takes none


@dataclass(frozen=True, kw_only=True)
class OpFacts:
    """How an op is shown, and what is true of every block of it."""

    name: str  # in tables and pictures
    se_ratio: float = 0.0  # of the official code, where a space or a stage does not say
    has_full_convolution: bool = True  # its k x k convolution mixes channels; False: it is depthwise
    # Its inner width is input channels times expansion_ratio, or
    narrows: bool = False  # output channels / expansion_ratio
    widens_output: bool = False  # output channels times expansion_ratio
    in_resnet: bool = False  # a block of ResNets, which may stand in kind: resnet
    # The fields of a stage that it takes
    takes_expansion: bool = True  # else expansion_ratio is 1
    takes_squeeze: bool = True
    takes_activation: bool = True
    takes_start_kernel: bool = False  # start_kernel_size, of a convolution before the expansion
    kernel_may_be_absent: bool = False  # kernel_size 0: no convolution there


OPS: Mapping[str, OpFacts] = {
    MBCONV: OpFacts(name="MBConv", se_ratio=0.25, has_full_convolution=False),
    FUSED: OpFacts(name="Fused"),
    UIB: OpFacts(
        name="UIB",
        has_full_convolution=False,
        takes_squeeze=False,
        takes_start_kernel=True,
        kernel_may_be_absent=True,
    ),
    "convnext": OpFacts(
        name="ConvNeXt",
        has_full_convolution=False,
        widens_output=True,
        takes_squeeze=False,
        takes_activation=False,
    ),
    "basic": OpFacts(
        name="Basic",
        narrows=True,
        in_resnet=True,
        takes_expansion=False,
        takes_squeeze=False,
        takes_activation=False,
    ),
    "bottleneck": OpFacts(
        name="Bottleneck", narrows=True, in_resnet=True, takes_squeeze=False, takes_activation=False
    ),
    CONV: OpFacts(name="Conv", takes_expansion=False, takes_squeeze=False),
}
SHIPPED_OPS = tuple(OPS)


def op_facts(op: str) -> OpFacts:
    """The facts of an op; one of the user's own is called as its class."""
    return OPS.get(op) or OpFacts(name=op.rpartition(":")[2], has_full_convolution=False)


def activation_words(op: str, activation: str | None) -> str:
    """The activation of a stage, whether it says one or not; OWN of an op that has always its own."""
    return activation or (SILU if op_facts(op).takes_activation else OWN)


def inner_width(op: str, in_channels: int, out_channels: int, expansion_ratio: float) -> int:
    """The channels between a block's first and its last convolution."""
    facts = op_facts(op)
    if facts.narrows:
        return int(out_channels / expansion_ratio)
    return expanded_width(out_channels if facts.widens_output else in_channels, expansion_ratio)


class Built(NamedTuple):
    """The op and the kernel sizes that determine a block's layers."""

    op: Op
    kernel_size: int
    start_kernel_size: int


def built_as(op: Op, kernel_size: int, start_kernel_size: int) -> Built:
    """The op of which a stage's blocks really are, so that equal networks are known to be equal.

    Without a convolution before the expansion a UIB is an MBConv; with no depthwise convolution at all it is
    a Fused-MBConv with a kernel of 1. So there is none between equal widths at expansion 1 there, either.
    """
    if op == UIB and not start_kernel_size:
        return Built(MBCONV, kernel_size, ABSENT) if kernel_size else Built(FUSED, 1, ABSENT)
    return Built(op, kernel_size, start_kernel_size)


def built_ops(op: Op) -> tuple[Op, ...]:
    """The ops of which blocks of a stage of this op may be."""
    return {UIB: (UIB, MBCONV, FUSED), CONV: (CONV, FUSED)}.get(op, (op,))

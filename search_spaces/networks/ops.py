"""The ops by name, and facts that spaces, costs and pictures need; the modules are in blocks.py."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

Op = Literal["mbconv", "fused_mbconv"]  # the ops that a search space may offer
AnyOp = Literal[Op, "bottleneck"]  # the ops that an architecture may have; bottleneck is ResNet's

FUSED: Final = "fused_mbconv"  # the paper's question: in which stages it is better


@dataclass(frozen=True, kw_only=True)
class OpFacts:
    """How an op is shown, and what is true of every block of it."""

    name: str  # in tables and pictures
    se_ratio: float = 0.0  # of the official code, where a space or a stage does not say
    has_full_convolution: bool = True  # its k x k convolution mixes channels; False: it is depthwise
    narrows: bool = False  # its inner width is output channels / expansion_ratio, not input channels times it
    # The fields of a stage that it takes
    takes_squeeze: bool = True
    takes_activation: bool = True
    takes_start_kernel: bool = False  # start_kernel_size, of a convolution before the expansion
    kernel_may_be_absent: bool = False  # kernel_size 0: no convolution there


OPS: Mapping[str, OpFacts] = {
    "mbconv": OpFacts(name="MBConv", se_ratio=0.25, has_full_convolution=False),
    FUSED: OpFacts(name="Fused"),
    "bottleneck": OpFacts(name="Bottleneck", narrows=True, takes_squeeze=False, takes_activation=False),
}


def op_facts(op: str) -> OpFacts:
    """The facts of an op; one of the user's own is called as in its YAML."""
    return OPS.get(op) or OpFacts(name=op, has_full_convolution=False)

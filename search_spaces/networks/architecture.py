"""The frozen description of one network: stem, stages and head, and an id of the network they build."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass as plain_dataclass
from dataclasses import field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field
from pydantic.dataclasses import dataclass

from search_spaces.networks.bounds import MAX_CHANNELS, MAX_LAYERS
from search_spaces.networks.ops import CONV, FUSED, OPS, Op, built_as, inner_width, op_facts
from search_spaces.networks.stage_fields import (
    ABSENT,
    KERNEL_SIZES,
    SILU,
    Activation,
    ExpansionRatio,
    KernelSize,
    StartKernelSize,
    named,
)
from search_spaces.settings.faults import refuse
from search_spaces.settings.kinds import LEFT_OUT
from search_spaces.settings.strict import STRICT

Padding = Literal["symmetric", "same"]
Kind = Literal["resnet"] | None  # None: an EfficientNet


@plain_dataclass(frozen=True)  # searches make many
class Block:
    """One block as it is built: the fields that determine its tensors and its output, and no others."""

    op: Op
    kernel_size: int  # ABSENT: there is no such convolution
    stride: int
    in_channels: int
    expanded_channels: int  # width between the first and the last convolution; a bottleneck's is the smaller
    squeeze_channels: int  # 0: no squeeze-excite
    out_channels: int
    activation: Activation = SILU
    start_kernel_size: int = ABSENT

    @property
    def has_residual(self) -> bool:
        """True if the block adds its input to its output."""
        return self.stride == 1 and self.in_channels == self.out_channels


NOTHING_STRIDES = (
    "a stage of stride 2 needs a convolution that has the stride; give a kernel_size or a start_kernel_size"
)
NEVER_ABSENT = (
    "a stage of stride 2 cannot have 0 layers: the stages after it would not fit; give 1 or more, or stride 1"
)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Stage:
    """A row of EfficientNetV2's Table 4: `layers` equal blocks, of which only the first has the stride.

    `se_ratio` is relative to a block's input channels; 0 means no squeeze-excite. A stage of 0 layers is
    absent from the network. The inner width is the input channels times `expansion_ratio`, rounded; of a
    ConvNeXt `channels` times it, of a bottleneck `channels` / `expansion_ratio`; basic blocks and plain
    convolutions have none, and say 1. Without an `activation` it is the architecture's.
    """

    op: Op
    kernel_size: KernelSize = 3
    stride: Literal[1, 2] = 1
    expansion_ratio: ExpansionRatio
    channels: int = Field(ge=1, le=MAX_CHANNELS)
    layers: int = Field(ge=0, le=MAX_LAYERS)
    se_ratio: float = Field(default=0.0, ge=0, le=1)
    activation: Activation | None = None
    start_kernel_size: StartKernelSize = field(default=ABSENT, metadata={LEFT_OUT: ABSENT})

    def __post_init__(self) -> None:
        refuse(self._faults())

    def _faults(self) -> Iterator[str]:
        if self.layers == 0 and self.stride == 2:
            yield f"layers: {NEVER_ABSENT}"
        facts = op_facts(self.op)
        if self.expansion_ratio != 1 and not facts.takes_expansion:
            yield f"expansion_ratio: {self.op} stages have none; give 1"
        elif facts.narrows and self.channels % self.expansion_ratio:
            yield f"channels: {no_multiple(self.op, self.channels, self.expansion_ratio)}"
        if self.se_ratio and not facts.takes_squeeze:
            yield f"se_ratio: {self.op} stages have none; leave it out"
        if self.activation is not None and not facts.takes_activation:
            yield f"activation: {self.op} stages have their own; leave it out"
        if self.kernel_size == ABSENT and not facts.kernel_may_be_absent:
            yield f"kernel_size: {absent_kernel(self.op)}"
        if self.start_kernel_size and not facts.takes_start_kernel:
            yield f"start_kernel_size: {self.op} stages have none; leave it out"
        if (self.kernel_size, self.start_kernel_size, self.stride) == (ABSENT, ABSENT, 2):
            yield f"kernel_size: {NOTHING_STRIDES}"

    def block(self, in_channels: int, *, first: bool = True) -> Block:
        """The stage's first block, or the block that is repeated after it.

        The squeeze width is max(1, int(in_channels * se_ratio)), as in the official code. The block's op is
        what is built, which is not always the stage's (`built_as`): a plain convolution where shapes allow
        no shortcut is a Fused-MBConv of expansion 1.
        """
        built = built_as(self.op, self.kernel_size, self.start_kernel_size)
        block = Block(
            op=built.op,
            kernel_size=built.kernel_size,
            stride=self.stride if first else 1,
            in_channels=in_channels,
            expanded_channels=inner_width(self.op, in_channels, self.channels, self.expansion_ratio),
            squeeze_channels=max(1, int(in_channels * self.se_ratio)) if self.se_ratio else 0,
            out_channels=self.channels,
            activation=self.activation or SILU,
            start_kernel_size=built.start_kernel_size,
        )
        return replace(block, op=FUSED) if block.op == CONV and not block.has_residual else block

    def blocks(self, in_channels: int) -> Iterator[Block]:
        """All blocks of the stage, given the channels of the layer before it."""
        if self.layers:
            yield self.block(in_channels)
        for _ in range(self.layers - 1):
            yield self.block(self.channels, first=False)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Architecture:
    """The frozen description of one network; the number of classes is chosen when it is built.

    `padding`: `symmetric` is (k - 1) // 2 on both sides; `same` is TensorFlow's rule. `provenance` records
    where the description comes from; comparisons and `architecture_id` ignore it. `kind: resnet` has a 7x7
    stem followed by max pooling (together a stride of 4), basic or bottleneck stages, and no head
    convolution: its `head_channels` are the last stage's channels.

    `activation` is that of stem and head, and of stages that do not say: these get it here. SiLU is what a
    stage has that does not say, so that in a network of SiLU no stage says it.
    """

    SHIPPED: ClassVar[Path] = Path(__file__).parent.parent / "published"

    stem_channels: int = Field(ge=1, le=MAX_CHANNELS)
    stem_stride: Literal[1, 2] = 2
    stages: tuple[Stage, ...] = Field(min_length=1, max_length=64)
    head_channels: int = Field(ge=1, le=MAX_CHANNELS)
    padding: Padding = "symmetric"
    kind: Kind = None
    activation: Activation = field(default=SILU, metadata={LEFT_OUT: SILU})
    provenance: dict[str, Any] | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if self.activation != SILU or any(stage.activation for stage in self.stages):
            stages = tuple(_with_activation(stage, self.activation) for stage in self.stages)
            object.__setattr__(self, "stages", stages)
        if not any(stage.layers for stage in self.stages):
            raise ValueError("an architecture needs at least one stage with a layer")
        if self.kind == "resnet":
            self._check_resnet()

    def _check_resnet(self) -> None:
        others = sorted({stage.op for stage in self.stages if not op_facts(stage.op).in_resnet})
        if others:
            raise ValueError(
                f"kind: resnet has stages of basic or bottleneck blocks alone; found {', '.join(others)}; "
                "leave the kind out"
            )
        if self.activation != SILU:
            raise ValueError("activation: a network of kind: resnet has its own; leave it out")
        if (
            self.head_channels != self.stages[-1].channels
            or not self.stages[-1].layers
            or (self.stem_stride, self.padding) != (2, "symmetric")
        ):
            raise ValueError(
                "kind: resnet has its last stage's head_channels, stem_stride 2 and symmetric padding"
            )

    def blocks(self) -> Iterator[Block]:
        """All blocks in order; stages of 0 layers contribute none."""
        channels = self.stem_channels
        for stage in self.stages:
            yield from stage.blocks(channels)
            channels = stage.channels if stage.layers else channels

    @property
    def architecture_id(self) -> str:
        """16 hexadecimal digits, equal for two architectures if and only if they build the same network."""
        # Hash the blocks, not the stages: two stages that continue each other equal one longer stage.
        texts, channels = [], self.stem_channels
        for stage in self.stages:
            if stage.layers:
                texts.append(_blocks_text(stage, channels))
                channels = stage.channels
        description = (
            f"[{self.stem_channels}, {self.stem_stride}, [{', '.join(texts)}], {self.head_channels}, "
            f'"{self.padding}"{", resnet" if self.kind else ""}'
            f"{f', {self.activation}' if self.activation != SILU else ''}]"
        )
        return hashlib.sha256(description.encode()).hexdigest()[:16]

    @property
    def total_stride(self) -> int:
        """Side of the input over the side of the last feature map."""
        total = int(self.stem_stride) * (2 if self.kind == "resnet" else 1)
        for stage in self.stages:
            total *= stage.stride
        return total

    def without_provenance(self) -> Self:
        """A copy of the architecture that does not say where it comes from."""
        return type(self)(
            stem_channels=self.stem_channels,
            stem_stride=self.stem_stride,
            stages=self.stages,
            head_channels=self.head_channels,
            padding=self.padding,
            kind=self.kind,
            activation=self.activation,
        )


def no_multiple(op: str, channels: int, expansion_ratio: float) -> str:
    """A sentence for channels that a narrowing op cannot divide."""
    return f"{channels} of a {op} stage is no multiple of its expansion_ratio {expansion_ratio:g}; give one"


def absent_kernel(ops: str) -> str:
    """A sentence for ops that have to have their k x k convolution."""
    able = [name for name, facts in OPS.items() if facts.kernel_may_be_absent]
    only = f", which {ops} cannot be without; {' and '.join(able)} may have none" if able else ""
    return f"{ABSENT} is not one of {named(KERNEL_SIZES)}{only}"


@lru_cache(maxsize=1 << 14)
def _with_activation(stage: Stage, activation: Activation) -> Stage:
    """The stage as it stands in an architecture of this activation."""
    if not op_facts(stage.op).takes_activation:
        return stage
    found = stage.activation or activation
    own = None if found == activation == SILU else found
    return stage if own == stage.activation else replace(stage, activation=own)


@lru_cache(maxsize=1 << 16)
def _blocks_text(stage: Stage, in_channels: int) -> str:
    """The stage's blocks as the JSON lists that `architecture_id` hashes, without the outer brackets.

    Cached, because a search meets the same few stages in thousands of architectures.
    """
    built = [
        [
            b.op,
            b.kernel_size,
            b.stride,
            b.in_channels,
            b.expanded_channels,
            b.squeeze_channels,
            b.out_channels,
            # Younger fields only where they say something, so that all other networks keep their ids
            *([b.start_kernel_size] if b.start_kernel_size else []),
            *([b.activation] if b.activation != SILU else []),
        ]
        for b in stage.blocks(in_channels)
    ]
    return json.dumps(built)[1:-1]

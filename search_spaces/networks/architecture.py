"""The frozen description of one network: stem, stages and head, and an id of the network they build."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import field
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from search_spaces.networks.ops import AnyOp
from search_spaces.settings.faults import refuse

Padding = Literal["symmetric", "same"]
Kind = Literal["resnet"] | None  # None: an EfficientNet

STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)

# Far beyond any published network (L2: 2,752 channels, 85 blocks); a number above is a typing error.
MAX_CHANNELS = 16_384
MAX_LAYERS = 256


@dataclass(frozen=True)
class Block:
    """One block as it is built: the fields that determine its tensors and its output, and no others."""

    op: AnyOp
    kernel_size: int
    stride: int
    in_channels: int
    expanded_channels: int  # width between the first and the last convolution; a bottleneck's is the smaller
    squeeze_channels: int  # 0: no squeeze-excite
    out_channels: int

    @property
    def has_residual(self) -> bool:
        """True if the block adds its input to its output."""
        return self.stride == 1 and self.in_channels == self.out_channels


NEVER_ABSENT = (
    "a stage of stride 2 cannot have 0 layers: the stages after it would not fit; give 1 or more, or stride 1"
)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Stage:
    """A row of EfficientNetV2's Table 4: `layers` equal blocks, of which only the first has the stride.

    `se_ratio` is relative to a block's input channels; 0 means no squeeze-excite. A stage of 0 layers is
    absent from the network. The inner width of a bottleneck is `channels` / `expansion_ratio`.
    """

    op: AnyOp
    kernel_size: Literal[3, 5] = 3
    stride: Literal[1, 2] = 1
    expansion_ratio: int = Field(ge=1, le=64)
    channels: int = Field(ge=1, le=MAX_CHANNELS)
    layers: int = Field(ge=0, le=MAX_LAYERS)
    se_ratio: float = Field(default=0.0, ge=0, le=1)

    def __post_init__(self) -> None:
        if self.stride == 2 or self.op == "bottleneck":  # most have neither, and searches make many
            refuse(self._faults())

    def _faults(self) -> Iterator[str]:
        if self.layers == 0 and self.stride == 2:
            yield f"layers: {NEVER_ABSENT}"
        if self.op == "bottleneck" and self.channels % self.expansion_ratio:
            yield (
                f"channels: {self.channels} of a bottleneck stage is no multiple of its expansion_ratio "
                f"{self.expansion_ratio}; give one"
            )
        if self.op == "bottleneck" and self.se_ratio:
            yield "se_ratio: a bottleneck stage has none; leave it out"

    def block(self, in_channels: int, *, first: bool = True) -> Block:
        """The stage's first block, or the block that is repeated after it.

        The squeeze width is max(1, int(in_channels * se_ratio)), as in the official code.
        """
        return Block(
            op=self.op,
            kernel_size=self.kernel_size,
            stride=self.stride if first else 1,
            in_channels=in_channels,
            expanded_channels=(
                self.channels // self.expansion_ratio
                if self.op == "bottleneck"
                else in_channels * self.expansion_ratio
            ),
            squeeze_channels=max(1, int(in_channels * self.se_ratio)) if self.se_ratio else 0,
            out_channels=self.channels,
        )

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
    stem followed by max pooling (together a stride of 4), bottleneck stages, and no head convolution:
    its `head_channels` are the last stage's channels.
    """

    SHIPPED: ClassVar[Path] = Path(__file__).parent.parent / "published"

    stem_channels: int = Field(ge=1, le=MAX_CHANNELS)
    stem_stride: Literal[1, 2] = 2
    stages: tuple[Stage, ...] = Field(min_length=1, max_length=64)
    head_channels: int = Field(ge=1, le=MAX_CHANNELS)
    padding: Padding = "symmetric"
    kind: Kind = None
    provenance: dict[str, Any] | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if not any(stage.layers for stage in self.stages):
            raise ValueError("an architecture needs at least one stage with a layer")
        if any((stage.op == "bottleneck") != (self.kind == "resnet") for stage in self.stages):
            raise ValueError("stages are bottlenecks if and only if the architecture says kind: resnet")
        if self.kind == "resnet" and (
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
            f'"{self.padding}"{", resnet" if self.kind else ""}]'
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
        )


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
        ]
        for b in stage.blocks(in_channels)
    ]
    return json.dumps(built)[1:-1]

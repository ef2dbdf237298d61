"""Parameters, multiply-adds (MACs) and activations, counted on the real modules on torch's meta device."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from search_spaces.networks.architecture import Architecture, Block, Kind, Padding, Stage
from search_spaces.networks.blocks import BuildBlock, op_class
from search_spaces.networks.counted_operations import CountedOperations
from search_spaces.networks.network import build_head, build_stem
from search_spaces.networks.ops import built_ops
from search_spaces.networks.stage_fields import Activation

Module = TypeVar("Module", bound=nn.Module)

DRAWS = (Tensor.normal_, Tensor.uniform_, nn.init.normal_, nn.init.uniform_, nn.init.kaiming_uniform_)


@dataclass(frozen=True)
class Figures:
    """Trainable parameters, and per image the MACs and outputs of all convolutions and linear layers."""

    params: int
    macs: int
    activations: int

    def __add__(self, other: "Figures") -> "Figures":
        return Figures(
            self.params + other.params, self.macs + other.macs, self.activations + other.activations
        )

    def __mul__(self, times: int) -> "Figures":
        return Figures(self.params * times, self.macs * times, self.activations * times)


@dataclass(frozen=True)
class StageCounts:
    """One stage's parameters and MACs, and the side of its last feature map in pixels."""

    params: int
    macs: int
    out_side: int


@dataclass(frozen=True)
class Counts:
    """A whole network's counts, for one image at one resolution."""

    params: int
    macs: int
    activations: int
    stages: tuple[StageCounts, ...]


def count(architecture: Architecture, *, num_classes: int, resolution: int) -> Counts:
    """Counts of stem, stages, head and classifier; every distinct block and side is built only once.

    MACs are those of Conv2d (squeeze-excite included) and Linear layers; batch norm, activations and pooling
    are not counted. A stride of 2 turns a side of n pixels into ceil(n / 2).
    """
    side = side_after_stem(architecture, resolution)
    total = Figures(0, 0, 0)
    stages = []
    channels = architecture.stem_channels
    for stage in architecture.stages:
        figures = count_stage(stage, in_channels=channels, side=side, padding=architecture.padding)
        if stage.layers:
            side = math.ceil(side / stage.stride)
            channels = stage.channels
        stages.append(StageCounts(figures.params, figures.macs, side))
        total += figures
    total += count_ends(
        architecture, last_channels=channels, side=side, num_classes=num_classes, resolution=resolution
    )
    return Counts(total.params, total.macs, total.activations, tuple(stages))


def side_after_stem(architecture: Architecture, resolution: int) -> int:
    """Side in pixels of the feature map that enters the first stage."""
    side = math.ceil(resolution / architecture.stem_stride)
    return math.ceil(side / 2) if architecture.kind == "resnet" else side


def count_stage(stage: Stage, *, in_channels: int, side: int, padding: Padding) -> Figures:
    """Counts of one stage whose input has `in_channels` channels and a side of `side` pixels."""
    return _stage(stage, in_channels, side, padding, tuple(op_class(op) for op in built_ops(stage.op)))


@lru_cache(maxsize=100_000)
def _stage(
    stage: Stage, in_channels: int, side: int, padding: Padding, built: tuple[BuildBlock, ...]
) -> Figures:
    """Counts of one stage; `built` is part of the cache's key, because an op may be replaced meanwhile."""
    if not stage.layers:
        return Figures(0, 0, 0)
    first = _counted(stage.block(in_channels), side, padding)
    if stage.layers == 1:
        return first
    others = _counted(stage.block(stage.channels, first=False), math.ceil(side / stage.stride), padding)
    return first + others * (stage.layers - 1)


def count_ends(
    architecture: Architecture, *, last_channels: int, side: int, num_classes: int, resolution: int
) -> Figures:
    """Counts of stem, head and classifier; the last stage's output has `last_channels` and that side."""
    return (
        _stem(
            architecture.stem_channels,
            architecture.stem_stride,
            architecture.padding,
            architecture.kind,
            architecture.activation,
            resolution,
        )
        + _head(last_channels, architecture.head_channels, architecture.kind, architecture.activation, side)
        + _classifier(architecture.head_channels, num_classes)
    )


def count_module(module: nn.Module, *input_shape: int) -> Figures:
    """Counts of a module on the meta device, found by running it on an input of the given shape."""
    activations = 0

    def add_outputs(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal activations
        activations += output.numel()

    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            layer.register_forward_hook(add_outputs)
    counter = CountedOperations()
    with torch.no_grad(), counter:
        module.eval()(torch.empty(input_shape, device="meta"))
    params = sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)
    # Two operations are one multiply-add.
    return Figures(params, counter.total // 2, activations)


class _Undrawn(TorchFunctionMode):
    """Leaves out drawing weights: on the meta device there are none, and torch loads its compiler for it."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in DRAWS:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


def on_meta(build: Callable[[], Module]) -> Module:
    """A module on the meta device, where it has shapes and no values."""
    with torch.device("meta"), _Undrawn():
        return build()


def _counted(block: Block, side: int, padding: Padding) -> Figures:
    return _block(block, side, padding, op_class(block.op))


@lru_cache(maxsize=100_000)
def _block(block: Block, side: int, padding: Padding, build: BuildBlock) -> Figures:
    module = on_meta(lambda: build(block, padding=padding, momentum=0.1, epsilon=1e-3, droppable=False))
    return count_module(module, 1, block.in_channels, side, side)


@lru_cache(maxsize=10_000)
def _stem(
    channels: int, stride: int, padding: Padding, kind: Kind, activation: Activation, resolution: int
) -> Figures:
    stem = on_meta(
        lambda: build_stem(
            channels,
            stride=stride,
            padding=padding,
            kind=kind,
            activation=activation,
            momentum=0.1,
            epsilon=1e-3,
        )
    )
    return count_module(stem, 1, 3, resolution, resolution)


@lru_cache(maxsize=10_000)
def _head(in_channels: int, channels: int, kind: Kind, activation: Activation, side: int) -> Figures:
    head = on_meta(
        lambda: build_head(
            in_channels, channels, kind=kind, activation=activation, momentum=0.1, epsilon=1e-3
        )
    )
    return count_module(head, 1, in_channels, side, side)


@lru_cache(maxsize=10_000)
def _classifier(in_channels: int, num_classes: int) -> Figures:
    return count_module(on_meta(lambda: nn.Linear(in_channels, num_classes)), 1, in_channels)

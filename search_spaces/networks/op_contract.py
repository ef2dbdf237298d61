"""The contract of an op: what its blocks owe to networks, searches and trainings, checked on small ones."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Literal

import torch
from torch import Tensor, nn

from search_spaces.networks.architecture import Block, Stage
from search_spaces.networks.blocks import BuildBlock
from search_spaces.networks.counting import count_module, on_meta
from search_spaces.networks.ops import op_facts
from search_spaces.networks.stage_fields import ABSENT
from search_spaces.settings.sentences import first_line, some

NARROW, WIDE = 8, 16  # channels
IMAGES = 4
TOLERANCE = 1e-4  # of the largest value: layouts and batch sizes may round otherwise


@dataclass(frozen=True)
class _Case:
    """A block of the op, and the side of its input in pixels."""

    block: Block
    side: int

    @property
    def words(self) -> str:
        block = self.block
        return (
            f"stride {block.stride}, {block.in_channels} to {block.out_channels} channels, {self.side} px, "
            f"expanded to {block.expanded_channels}"
        )

    @property
    def out_shape(self) -> tuple[int, ...]:
        side = math.ceil(self.side / self.block.stride)
        return (IMAGES, self.block.out_channels, side, side)

    def images(self) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        return torch.randn(IMAGES, self.block.in_channels, self.side, self.side, generator=generator)


def faults_of_op(build: BuildBlock, *, op: str) -> list[str]:
    """Sentences about what an op's blocks owe and do not do, with what to do; none of a sound op.

    Blocks of strides 1 and 2, of equal and of other channels, of expansion 1 and 4, with and without
    squeeze-excite are built, on even and on odd sides. Each kind of fault is said once, of the first block
    that has it. Torch's random generator is left as it is.

    Args:
        build: the op, as it stands in `BLOCKS`.
        op: its name, with which the sentences begin.
    """
    found: dict[Callable[..., Iterator[str]], str] = {}
    with torch.random.fork_rng(devices=[]):
        for case in _cases(op):
            try:
                module = _built(build, case.block)
            except Exception as error:  # the user's own code may raise anything
                called = "; its class is called as (block, padding=…, momentum=…, epsilon=…, droppable=…)"
                hint = called if isinstance(error, TypeError) else ""
                return [f"{op}: {case.words}: it cannot be built ({_reason(error)}){hint}"]
            for check in (_shape, _repeated, _alone, _layout, _gradients, _seeded, _counted):
                if check in found or (_repeated in found and check in (_alone, _layout)):
                    continue  # passes that differ at random say nothing of the others
                try:
                    faults = [*check(build, module, case)]
                except Exception as error:
                    faults = [f"it fails ({_reason(error)}) when {WHAT[check]}"]
                if faults:
                    found[check] = f"{op}: {case.words}: {faults[0]}"
                if check is _shape and check in found:
                    return [found[check]]  # nothing else can be said of it
    return list(found.values())


def _cases(op: str) -> Iterator[_Case]:
    start = 3 if op_facts(op).takes_start_kernel else ABSENT
    strides: tuple[Literal[1, 2], ...] = (1, 2)
    for stride, channels, side, (expansion, squeeze) in product(
        strides, (NARROW, WIDE), (12, 9), ((1, 0.0), (4, 0.25))
    ):
        stage = Stage(
            op="mbconv",  # at which no block looks
            stride=stride,
            expansion_ratio=expansion,
            channels=channels,
            layers=1,
            se_ratio=squeeze,
        )
        yield _Case(replace(stage.block(NARROW), start_kernel_size=start), side)


def _built(build: BuildBlock, block: Block) -> nn.Module:
    torch.manual_seed(0)
    return build(block, padding="symmetric", momentum=0.1, epsilon=1e-3, droppable=True)


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {first_line(error)}"


def _differ(first: Tensor, second: Tensor) -> bool:
    scale = float(first.abs().max()) or 1.0
    return not torch.allclose(first, second, rtol=0.0, atol=TOLERANCE * scale)


# ---------------------------------------------------------------------- checks


def _shape(build: BuildBlock, module: nn.Module, case: _Case) -> Iterator[str]:
    output = _evaluated(module, case.images())
    if not isinstance(output, Tensor):
        yield f"its output is {type(output).__name__}; one tensor is expected"
    elif tuple(output.shape) != case.out_shape:
        yield (
            f"its output has the shape {tuple(output.shape)}; {case.out_shape} is expected: a stride of 2 "
            "turns n pixels into ceil(n / 2), so pad a k x k convolution by k // 2"
        )
    elif output.dtype != torch.float32:
        yield f"its output is {output.dtype}; that of its input, float32, is expected"


def _repeated(build: BuildBlock, module: nn.Module, case: _Case) -> Iterator[str]:
    if not torch.equal(_evaluated(module, case.images()), _evaluated(module, case.images())):
        yield (
            "in evaluation mode two passes differ; leave random numbers out where not self.training, and "
            "keep nothing from one pass for the next"
        )


def _alone(build: BuildBlock, module: nn.Module, case: _Case) -> Iterator[str]:
    images = case.images()
    if _differ(_evaluated(module, images)[:1], _evaluated(module, images[:1])):
        yield (
            "in evaluation mode an image's output depends on the others of its batch; norm by running "
            "statistics or over each image alone"
        )


def _layout(build: BuildBlock, module: nn.Module, case: _Case) -> Iterator[str]:
    images = case.images()
    apart = _evaluated(module, images.contiguous(memory_format=torch.channels_last))
    if _differ(_evaluated(module, images), apart):
        yield (
            "images in channels_last, as trainings have them, give another output; use reshape and flatten "
            "instead of view, and no strides"
        )


def _gradients(build: BuildBlock, module: nn.Module, case: _Case) -> Iterator[str]:
    module.train().zero_grad()
    images = case.images().requires_grad_()
    module(images).square().mean().backward()
    parameters = {name: each for name, each in module.named_parameters() if each.requires_grad}
    if unused := [name for name, parameter in parameters.items() if parameter.grad is None]:
        yield f"no gradient reaches {some(unused)}; use it, or do not make it"
    elif broken := [name for name, each in parameters.items() if not each.grad.isfinite().all()]:  # type: ignore[union-attr]
        yield f"the gradient of {some(broken)} is not finite"
    elif images.grad is None:
        yield "no gradient reaches its input: what stands before it would not learn; do not detach"


def _seeded(build: BuildBlock, module: nn.Module, case: _Case) -> Iterator[str]:
    first, second = (_built(build, case.block).state_dict() for _ in range(2))
    if other := [name for name, value in first.items() if not torch.equal(value, second[name])]:
        yield (
            f"with the same torch.manual_seed {some(other)} begins with other values; draw initial weights "
            "by torch alone"
        )


def _counted(build: BuildBlock, module: nn.Module, case: _Case) -> Iterator[str]:
    meta = on_meta(
        lambda: build(case.block, padding="symmetric", momentum=0.1, epsilon=1e-3, droppable=False)
    )
    figures = count_module(meta, 1, case.block.in_channels, case.side, case.side)
    params = sum(each.numel() for each in module.parameters() if each.requires_grad)
    if figures.params != params:
        yield (
            f"on the meta device it has {figures.params:,} parameters, and built {params:,}; make all of "
            "them in __init__, whatever droppable says"
        )


def _evaluated(module: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        output: Tensor = module.eval()(images)
    return output


# What each check does, where the op raises an error.
WHAT: dict[Callable[..., Iterator[str]], str] = {
    _shape: "it computes images in evaluation mode",
    _repeated: "it computes images for a second time",
    _alone: "it computes a single image",
    _layout: "images are in channels_last; use reshape and flatten instead of view",
    _gradients: "it is trained",
    _seeded: "it is built again",
    _counted: "it is counted, on the meta device; read no values of tensors",
}

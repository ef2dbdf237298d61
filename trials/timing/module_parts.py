"""The time of a training step by the parts of any module.

As in `step_parts`, the whole step runs, with time marks where parts begin and end; what lies between two
marks is the part's whose mark came first. So parts add up to the step, whatever a module does between them.
"""

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from search_spaces.networks.network import Network
from trials.devices.device import clock_of
from trials.kernels.cpu_blocks import PLAIN
from trials.timing import durations
from trials.timing.module_check import ContiguousInput
from trials.timing.step_parts import Times
from trials.timing.step_time import undisturbed
from trials.training.step import TrainingStep
from trials.training.synthetic_batch import SyntheticBatch

MOST_PARTS = 16
WARM_UP_CALLS = 2
DOMINANT = 2 / 3  # of all parameters: a part with more is shown by its own parts
BETWEEN, UPDATE = "between parts", "update"


@dataclass(frozen=True, kw_only=True)
class PartTime:
    """Seconds of a part in a training step.

    `between parts` is what the module, the loss and the preparation of the step compute outside of all parts.
    """

    part: str
    forward_seconds: float
    backward_seconds: float
    share: float  # 0-1, of all parts together

    @property
    def seconds(self) -> float:
        """Forward and backward."""
        return self.forward_seconds + self.backward_seconds


def measure_parts(
    step: TrainingStep, batch: SyntheticBatch, *, clock: Callable[[], float] | None = None
) -> tuple[PartTime, ...]:
    """Median seconds of each part of a step, in the order in which they are first computed.

    Steps are launched one by one, on CUDA too: there the parts hold the gaps between their launches, which a
    step as a graph does not have. The state of the step is restored.

    Args:
        clock: seconds, for tests; default: the device's.
    """
    now = clock or clock_of(step.device)
    with undisturbed(step), _marked(step, parts_of(step.network), clock) as take:
        for _ in range(WARM_UP_CALLS):
            take(batch.images, batch.labels)
        calls: list[Callable[[], Mapping[str, tuple[float, float]]]] = []
        began = now()
        while len(calls) < durations.FEWEST_STEPS or now() - began < durations.PARTS_SECONDS:
            calls.append(take(batch.images, batch.labels))
        found = [read() for read in calls]
    names = list(dict.fromkeys(name for call in found for name in call))
    medians = {
        name: tuple(statistics.median(call.get(name, (0.0, 0.0))[i] for call in found) for i in (0, 1))
        for name in names
    }
    total = sum(map(sum, medians.values())) or 1.0
    return tuple(
        PartTime(
            part=name, forward_seconds=forward, backward_seconds=backward, share=(forward + backward) / total
        )
        for name, (forward, backward) in medians.items()
    )


def parts_of(network: nn.Module) -> dict[str, nn.Module]:
    """The parts that a network is shown by: at most MOST_PARTS, none within another.

    A network of ours has its stem, stages, head and classifier. Any other has its children; a list, which is
    not called itself, and a part with more than DOMINANT of all parameters is replaced by its own children
    where they are not too many. What torch has compiled is not looked into, and is no part by itself.
    """
    if isinstance(network, Network):
        stages = {f"stage {i}": stage for i, stage in enumerate(network.stages.children(), start=1)}
        named = {"stem": network.stem, **stages, "head": network.head, "classifier": network.classifier}
        return {name: part for name, part in named.items() if _size(part)}
    network = network.module if isinstance(network, ContiguousInput) else network
    if _is_compiled(network):
        return {}
    total = _size(network) or 1
    parts = {name: part for name, part in network.named_children() if not _is_compiled(part)}
    while True:
        opened = next((name for name, part in parts.items() if _opens(part, total, len(parts))), None)
        if opened is None:
            return parts
        parts = {
            inner: child
            for name, part in parts.items()
            for inner, child in (
                ((f"{name}.{key}", each) for key, each in part.named_children())
                if name == opened
                else ((name, part),)
            )
            if not _is_compiled(child)
        }


def _opens(part: nn.Module, total: int, parts: int) -> bool:
    children = len(list(part.children()))
    if isinstance(part, (nn.ModuleList, nn.ModuleDict)):
        return True
    if type(part) in PLAIN:  # own kernels compute its layers as one
        return False
    return children > 0 and _size(part) > DOMINANT * total and parts - 1 + children <= MOST_PARTS


def _is_compiled(part: nn.Module) -> bool:
    """True of a script, which takes no hooks, and of torch.compile's, which hooks would compile anew."""
    return isinstance(part, torch.jit.ScriptModule) or "_orig_mod" in part._modules


def _size(part: nn.Module) -> int:
    return sum(parameter.numel() for parameter in part.parameters())


@contextmanager
def _marked(
    step: TrainingStep, parts: Mapping[str, nn.Module], clock: Callable[[], float] | None
) -> Iterator[Callable[[Tensor, Tensor], Callable[[], Mapping[str, tuple[float, float]]]]]:
    """A function that takes a step and returns what reads its seconds, forward and backward, by part."""
    times = Times(step.device, clock)
    labels: list[tuple[str, bool]] = []  # of the marks: whose time begins, and whether it is backward
    within: list[str] = []  # parts that are being computed, the innermost last

    def mark(name: str, is_backward: bool = False) -> None:
        times.mark()
        labels.append((name, is_backward))

    def begins(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any) -> None:
            within.append(name)
            mark(name)

        return hook

    def ends(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            within.pop()
            mark(within[-1] if within else BETWEEN)
            if (tensor := _differentiable(output)) is not None:
                # Called when the gradient of this output is complete: the part's own backward pass begins.
                tensor.register_hook(lambda gradient: mark(name, True))

        return hook

    def take(images: Tensor, answers: Tensor) -> Callable[[], Mapping[str, tuple[float, float]]]:
        labels.clear()
        within.clear()
        times.begin()
        labels.append((BETWEEN, False))
        step(images, answers)
        times.mark()
        read, taken = times.reader(), tuple(labels)
        return lambda: _by_part(read(), taken)

    collect = step.parameters.collect

    def collect_marked(*arguments: Any, **options: Any) -> None:
        mark(UPDATE)  # behind the backward pass
        collect(*arguments, **options)

    handles = [part.register_forward_pre_hook(begins(name)) for name, part in parts.items()]
    handles += [part.register_forward_hook(ends(name)) for name, part in parts.items()]
    step.parameters.collect = collect_marked  # type: ignore[method-assign]
    try:
        yield take
    finally:
        del step.parameters.collect
        for handle in handles:
            handle.remove()


def _differentiable(output: Any) -> Tensor | None:
    """The first tensor of a part's output that has a gradient."""
    if isinstance(output, Tensor):
        return output if output.requires_grad else None
    values = (
        output.values() if isinstance(output, dict) else output if isinstance(output, (list, tuple)) else ()
    )
    return next((found for value in values if (found := _differentiable(value)) is not None), None)


def _by_part(marks: list[float], labels: tuple[tuple[str, bool], ...]) -> dict[str, tuple[float, float]]:
    """Seconds between the marks, summed by part: forward and backward."""
    sums: defaultdict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for (name, is_backward), begin, end in zip(labels, marks, marks[1:], strict=False):
        sums[name][is_backward] += end - begin
    return {name: (forward, backward) for name, (forward, backward) in sums.items()}

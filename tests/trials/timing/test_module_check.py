"""Any network is tried before it is measured: its output, its layout in memory, its tensors, its step."""

from collections.abc import Callable
from typing import Any

import any_modules
import pytest
import torch
from torch import Tensor, nn

from search_spaces.settings.config_error import ConfigError
from trials.timing.module_check import (
    CheckedModule,
    ContiguousInput,
    checked_module,
    classes_of,
    try_step,
)
from trials.timing.module_source import source_of
from trials.timing.step_conditions import StepConditions
from trials.timing.step_memory import step_recipe

pytestmark = pytest.mark.usefixtures("as_a_worker")
CPU = torch.device("cpu")


def checked(made: Callable[..., nn.Module], *, num_classes: int = 4) -> CheckedModule:
    return checked_module(source_of(made), num_classes=num_classes, resolution=16, device=CPU)


def conditions(precision: str = "fp32", *, num_classes: int = 4) -> StepConditions:
    return StepConditions(
        recipe=step_recipe(batch_size=4, resolution=16), precision=precision, num_classes=num_classes,
        resolution=16, batch_size=4, device=CPU,
    )  # fmt: skip


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    "made",
    [any_modules.Tiny, any_modules.Attending, any_modules.Viewing, any_modules.ours_as_any],
    ids=lambda made: made.__name__,
)
def test_any_network_learns_by_the_step_of_trials(made: Callable[..., nn.Module], precision: str) -> None:
    module = checked(made)
    step = conditions(precision).step(module)
    batch = conditions().batch()
    step.learning_rate.fill_(0.02)
    losses = []
    for _ in range(20):
        step(batch.images, batch.labels)
        losses.append(step.read_totals()[0])
    assert losses[-1] < losses[0]
    try_step(module, resolution=16, step=lambda: conditions(precision).step(module))


def test_the_step_of_a_network_of_ours_is_the_same_as_that_of_its_architecture() -> None:
    from small_networks import SMALL

    ours = conditions().step(SMALL)
    any_other = conditions().step(checked(any_modules.ours_as_any))
    batch = conditions().batch()
    for step in (ours, any_other):
        step.learning_rate.fill_(0.01)
        for _ in range(3):
            step(batch.images, batch.labels)
    assert [type(module) for module in ours.network.modules()] == [
        type(module) for module in any_other.network.modules()
    ]
    assert ours.read_totals() == any_other.read_totals()


def test_a_module_that_reads_features_as_vectors_computes_in_contiguous_memory() -> None:
    assert checked(any_modules.Tiny).layout == "channels_last"
    module = checked(any_modules.Viewing)
    assert module.layout == "contiguous"
    assert module.layout_reason is not None
    assert "view size is not compatible" in module.layout_reason
    network = conditions().step(module).network
    assert isinstance(network, ContiguousInput)
    assert all(parameter.is_contiguous() for parameter in network.parameters())


def test_classes_are_what_a_network_gives_or_what_it_is_asked_for() -> None:
    assert classes_of(source_of(any_modules.Tiny), resolution=16, device=CPU) == 4
    assert checked(any_modules.Tiny, num_classes=9).num_classes == 9
    with pytest.raises(ConfigError, match=r"gives 4 logits, but 9 classes are .*: give --classes 4"):
        checked(any_modules.Attending, num_classes=9)

    def ignoring(num_classes: int = 4) -> nn.Module:
        return any_modules.Tiny()

    with pytest.raises(ConfigError, match=r"gives 4 logits, but 9 classes .* made with num_classes=9"):
        checked(ignoring, num_classes=9)


REFUSED = {
    any_modules.pairs: r"gives 2 outputs \(tuple\); one tensor of logits",
    any_modules.names: r"gives outputs by name \(logits, features\)",
    any_modules.maps: r"gives float32 of shape \(2, 4, 2, 2\) for 2 images",
    any_modules.labels: r"gives int64 of shape \(2,\)",
    any_modules.single: "gives 1 logit for an image; at least 2",
    any_modules.constants: "does not depend on any parameter that has a gradient",
    any_modules.lazy: r"1\.weight is not initialised \(a lazy module\)",
    any_modules.double: r"layer\.0\.weight is float64; float32 is expected",
    any_modules.frozen: "has no parameter that has a gradient",
    any_modules.on_meta: r"layer\.0\.weight lies on the meta device",
    any_modules.Masked: r"its forward pass failed.*: TypeError: .* missing 1 required .* 'mask'",
    any_modules.Gray: r"its forward pass failed at .*any_modules\.py, line \d+, in forward: RuntimeError",
    any_modules.from_file: r"making it failed at .*any_modules\.py, line \d+, in from_file: FileNotFound",
}


@pytest.mark.parametrize(("made", "message"), REFUSED.items(), ids=lambda each: getattr(each, "__name__", ""))
def test_networks_that_cannot_be_measured_are_refused(made: Callable[..., nn.Module], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        checked(made)
    assert str(refused.value).startswith(f"{made.__name__}: ")
    assert "\n" not in str(refused.value)


def test_a_module_that_fails_in_its_backward_pass_or_in_a_precision_is_refused() -> None:
    class Backward(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, logits: Tensor) -> Tensor:
            return logits.clone()

        @staticmethod
        def backward(ctx: object, *gradients: Tensor) -> Tensor:
            raise ValueError("no way back")

    with pytest.raises(ConfigError, match=r"its backward pass failed at .*: ValueError: no way back"):
        checked(lambda: any_modules.Giving(Backward.apply))

    def only_float(logits: Tensor) -> Tensor:
        if logits.dtype != torch.float32:
            raise TypeError("float32, please")
        return logits

    module = checked(lambda: any_modules.Giving(only_float))
    try_step(module, resolution=16, step=lambda: conditions("fp32").step(module))
    with pytest.raises(ConfigError, match=r"a training step failed at .*: TypeError: float32, please"):
        try_step(module, resolution=16, step=lambda: conditions("bf16").step(module))


class OtherEvaluated(any_modules.Tiny):
    """Gives something else in evaluation mode."""

    def __init__(self, give: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.give = give

    def forward(self, images: Tensor) -> Any:
        logits = super().forward(images)
        return logits if self.training else self.give(logits)


@pytest.mark.parametrize(
    ("give", "message"),
    [
        (lambda logits: (logits, logits), r"in evaluation mode gives 2 outputs \(tuple\); one tensor of"),
        (lambda logits: {"logits": logits}, r"in evaluation mode gives outputs by name \(logits\)"),
        (lambda logits: logits[0], r"in evaluation mode gives bfloat16 of shape \(4,\) for 1 image; one"),
        (lambda logits: logits[:, :3], r"in evaluation mode gives 3 logits, in training 4; the same are"),
    ],
)
def test_the_output_in_evaluation_mode_is_checked_too(give: Callable[[Tensor], object], message: str) -> None:
    module = checked(lambda: OtherEvaluated(give))
    with pytest.raises(ConfigError, match=message):
        try_step(module, resolution=16, step=lambda: conditions("bf16").step(module))


def test_tensors_that_lie_apart_in_memory_are_made_dense() -> None:
    class Apart(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(3, 4).t())
            self.register_buffer("scale", torch.ones(1).expand(4))

        def forward(self, images: Tensor) -> Tensor:
            return nn.functional.linear(images.mean((2, 3)), self.weight) * self.scale

    assert not Apart().weight.is_contiguous()
    step = conditions().step(checked(Apart))
    batch = conditions().batch()
    step(batch.images, batch.labels)

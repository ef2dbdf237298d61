"""Where a step's time goes, by the parts of any network; times are given, not measured."""

import itertools

import any_modules
import pytest
import torch
from clocks import Clock
from small_networks import SMALL
from torch import Tensor, nn

from search_spaces.networks.network import build_network
from trials.kernels.cpu_library import why_not
from trials.timing import durations
from trials.timing.module_check import ContiguousInput, checked_module
from trials.timing.module_parts import MOST_PARTS, measure_parts, parts_of
from trials.timing.module_source import source_of
from trials.timing.step_conditions import StepConditions
from trials.timing.step_memory import step_recipe
from trials.training.step import TrainingStep

pytestmark = pytest.mark.usefixtures("as_a_worker")
CPU = torch.device("cpu")
CONDITIONS = StepConditions(
    recipe=step_recipe(batch_size=4, resolution=16), precision="fp32", num_classes=4, resolution=16,
    batch_size=4, device=CPU,
)  # fmt: skip


class Slow(torch.autograd.Function):
    """The identity, which takes 2 s forward and 3 s backward."""

    clock = Clock()

    @staticmethod
    def forward(ctx: object, features: Tensor) -> Tensor:
        Slow.clock.sleep(2.0)
        return features.clone()

    @staticmethod
    def backward(ctx: object, *gradients: Tensor) -> Tensor:
        Slow.clock.sleep(3.0)
        return gradients[0]


class SlowLayer(nn.Module):
    """A layer with a weight, which takes 2 s and 3 s."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3)

    def forward(self, features: Tensor) -> Tensor:
        return Slow.apply(self.linear(features))


class InParts(nn.Module):
    """A part, the same work outside of parts, a list of two, of which one runs twice, and a pair."""

    def __init__(self) -> None:
        super().__init__()
        self.first = SlowLayer()
        self.several = nn.ModuleList([SlowLayer(), SlowLayer()])
        self.head = nn.Linear(3, 4)

    def forward(self, images: Tensor) -> Tensor:
        features = self.first(images.mean((2, 3)))
        features = Slow.apply(features)
        features = self.several[1](self.several[1](self.several[0](features)))
        return self.head(features)


def step_of(made: type[nn.Module]) -> TrainingStep:
    return CONDITIONS.step(checked_module(source_of(made), num_classes=4, resolution=16, device=CPU))


def test_time_is_that_of_the_part_that_takes_it_and_adds_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(durations, "FEWEST_STEPS", 3)
    step = step_of(InParts)
    before = {name: tensor.clone() for name, tensor in step.state().items()}
    parts = {part.part: part for part in measure_parts(step, CONDITIONS.batch(), clock=Slow.clock)}
    assert list(parts) == ["between parts", "first", "several.0", "several.1", "head", "update"]
    assert (parts["first"].forward_seconds, parts["first"].backward_seconds) == (2, 3)
    assert (parts["several.0"].forward_seconds, parts["several.1"].forward_seconds) == (2, 4)
    assert parts["several.1"].backward_seconds == 6
    # The gradient of what lies between two parts is computed behind the later one's.
    assert parts["several.0"].backward_seconds == 3 + 3
    assert (parts["between parts"].forward_seconds, parts["between parts"].backward_seconds) == (2, 0)
    assert sum(part.seconds for part in parts.values()) == 5 * 5
    assert sum(part.share for part in parts.values()) == pytest.approx(1)
    assert parts["first"].share == pytest.approx(5 / 25)
    assert all(torch.equal(before[name], tensor) for name, tensor in step.state().items())


def test_hooks_and_marks_are_taken_away_again() -> None:
    step = step_of(InParts)
    measure_parts(step, CONDITIONS.batch(), clock=Slow.clock)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in step.network.modules())
    assert "collect" not in vars(step.parameters)


def test_parts_of_a_network_of_ours_are_its_stages() -> None:
    looks = itertools.count()  # each look at the clock takes a second
    parts = measure_parts(CONDITIONS.step(SMALL), CONDITIONS.batch(), clock=lambda: float(next(looks)))
    between, *inner, update = parts
    assert (between.part, update.part) == ("between parts", "update")
    assert [part.part for part in inner] == [
        "stem", "stage 1", "stage 2", "stage 3", "head", "classifier"
    ]  # fmt: skip
    assert {(part.forward_seconds, part.backward_seconds) for part in inner} == {(1, 1)}
    assert (update.forward_seconds, update.backward_seconds) == (1, 0)
    assert (between.forward_seconds, between.backward_seconds) == (len(inner) + 1, 0)


def test_parts_of_any_network_are_its_children_and_large_ones_are_opened() -> None:
    assert list(parts_of(any_modules.Tiny())) == ["layer.0", "layer.1", "layer.2", "head"]
    assert list(parts_of(any_modules.Attending())) == ["patches", "blocks.0", "blocks.1", "classifier"]
    wrapped = ContiguousInput(any_modules.Viewing())
    assert list(parts_of(wrapped)) == ["conv", "head"]
    deep = nn.Sequential(nn.Sequential(*(nn.Linear(8, 8) for _ in range(MOST_PARTS))), nn.Linear(8, 2))
    assert list(parts_of(deep)) == ["0", "1"]  # its parts are too many
    nested = nn.Sequential(nn.Sequential(nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 2))))
    assert list(parts_of(nested)) == ["0.0.0", "0.0.1"]
    assert next(iter(parts_of(build_network(SMALL, num_classes=4)))) == "stem"


@pytest.mark.skipif(why_not() is not None, reason=f"no own kernels: {why_not()}")
def test_layers_that_own_kernels_compute_as_one_are_one_part() -> None:
    class Holding(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.block = build_network(SMALL, num_classes=4).stages[1][0]
            self.head = nn.Linear(16, 4)

        def forward(self, images: Tensor) -> Tensor:
            features = images.repeat(1, 3, 1, 1)[:, :8]
            return self.head(self.block(features).mean((2, 3)))

    opened = [f"block.branch.{part}" for part in ("0.0", "0.1", "0.2", "1", "2")]
    assert list(parts_of(Holding())) == [*opened, "block.drop", "head"]
    assert list(parts_of(step_of(Holding).network)) == ["block", "head"]


@pytest.mark.filterwarnings("ignore:.*is deprecated:DeprecationWarning")
def test_what_torch_has_compiled_is_one_piece_that_is_no_part() -> None:
    class Compiled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self._orig_mod = nn.Linear(3, 4)

    script = torch.jit.script(nn.Linear(3, 3))
    assert parts_of(Compiled()) == parts_of(script) == {}
    assert list(parts_of(nn.Sequential(nn.Linear(3, 3), script, Compiled()))) == ["0"]


def test_parts_whose_outputs_are_no_tensors_are_timed_forward() -> None:
    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(3, 3)

        def forward(self, features: Tensor) -> dict[str, object]:
            Slow.clock.sleep(1.0)
            return {"size": 3, "both": [None, self.linear(features)]}

    class Paired(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pair, self.head = Pair(), nn.Linear(3, 4)

        def forward(self, images: Tensor) -> Tensor:
            return self.head(Slow.apply(self.pair(images.mean((2, 3)))["both"][1]))

    parts = {part.part: part for part in measure_parts(step_of(Paired), CONDITIONS.batch(), clock=Slow.clock)}
    assert parts["pair"].forward_seconds == 1
    assert parts["head"].backward_seconds == 3

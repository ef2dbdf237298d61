"""Parts of a recorded step: no gaps between launches, and both networks in the same mode."""

from collections.abc import Callable

import pytest
import torch
from block_tables import small_space
from clocks import Clock
from recordings import repeated

from search_spaces.choices.space import SearchSpace
from search_spaces.settings.yaml_files import read_yaml
from trials.recipe import Ramp, Recipe
from trials.timing.step_parts import measure_step_parts
from trials.training.cuda_graphs import Recorded
from trials.training.step import TrainingStep, build_step
from trials.training.synthetic_batch import SyntheticBatch

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def small() -> SearchSpace:
    return small_space()


def recipe(batch_size: int = 2, resolution: int = 16) -> Recipe:
    return Recipe(
        epochs=1, batch_size=batch_size, resolution=Ramp(resolution, resolution), averaging_decay=0.99
    )


class LaunchedDevice(Clock):
    """A device whose blocks take 20 ms each, and whose launch of a block from the host takes 200.

    A recorded step has no launches within.
    """

    BLOCK, LAUNCH = 0.02, 0.2

    def __init__(self) -> None:
        super().__init__()
        self.is_replaying = False

    def record(self, work: Callable[[], None]) -> Recorded:
        repeated(work)

        def replay() -> None:
            self.is_replaying = True
            work()
            self.is_replaying = False

        return Recorded(replay)

    def pass_time(self, *_: object) -> None:
        self.sleep(self.BLOCK + (0.0 if self.is_replaying else self.LAUNCH))

    def steps(self, space: SearchSpace, *records: object) -> list[TrainingStep]:
        architectures = (space.decode(space.largest()), space.reference)
        found = [build_step(a, recipe(), num_classes=3, device=CPU, precision="fp32") for a in architectures]
        for step, record in zip(found, records, strict=True):
            step._record = record  # type: ignore[assignment]
            for block in step.network.blocks():
                block.register_forward_hook(self.pass_time)
        return found


def test_parts_of_a_step_that_can_be_recorded_hold_no_gaps_between_launches(small: SearchSpace) -> None:
    device = LaunchedDevice()
    step, reference = device.steps(small, device.record, device.record)
    before = step.state()
    batch = SyntheticBatch.random(batch_size=2, resolution=16, num_classes=3, device=CPU)
    parts = measure_step_parts(step, reference, batch, clock=device)
    blocks = len(list(small.reference.blocks()))
    assert parts.reference_seconds == pytest.approx(blocks * device.BLOCK)
    assert parts.forward == pytest.approx((1 / blocks,) * len(parts.forward))
    assert parts.ratio == pytest.approx(len(parts.forward) / blocks)
    assert all(torch.equal(before[name], value) for name, value in step.state().items())


@pytest.mark.parametrize("recorded", [0, 1])
def test_parts_are_timed_without_graphs_where_one_step_is_none(small: SearchSpace, recorded: int) -> None:
    device = LaunchedDevice()
    records: list[object] = [None, None]
    records[recorded] = device.record
    step, reference = device.steps(small, *records)
    batch = SyntheticBatch.random(batch_size=2, resolution=16, num_classes=3, device=CPU)
    parts = measure_step_parts(step, reference, batch, clock=device)
    blocks = len(list(small.reference.blocks()))
    assert parts.reference_seconds == pytest.approx(blocks * (device.BLOCK + device.LAUNCH))
    assert parts.ratio == pytest.approx(len(parts.forward) / blocks)


@pytest.mark.gpu
def test_parts_of_a_recorded_step_on_cuda_add_up_to_the_whole() -> None:
    space, device = read_yaml(SearchSpace, "cifar"), torch.device("cuda:0")
    step, reference = (
        build_step(space.reference, recipe(64, 32), num_classes=10, device=device, precision="fp32")
        for _ in range(2)
    )
    batch = SyntheticBatch.random(batch_size=64, resolution=32, num_classes=10, device=device)
    parts = measure_step_parts(step, reference, batch)
    assert min(parts.forward + parts.backward) > 0
    assert parts.ratio == pytest.approx(1.0, abs=0.1)  # a mark takes about a microsecond

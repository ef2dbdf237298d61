"""The update's kernel, in Triton's interpreter, against the optimizer and the average that it stands for."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from triton_kernels import needs_triton

from trials.kernels import update_ops
from trials.training.flat_parameters import FlatParameters
from trials.training.kernel_update import KernelUpdate
from trials.training.rmsprop import RMSProp
from trials.training.weight_average import WeightAverage

pytestmark = [needs_triton, pytest.mark.usefixtures("interpreted")]
RATE = torch.tensor(0.05)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of which weights and statistics take several, the last of them in part."""
    monkeypatch.setattr(update_ops, "BLOCK", 32)


class Trained:
    """A little network with its optimizer and average, and random gradients and statistics."""

    def __init__(self, alignment: int = 1, *, averages: bool = True) -> None:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(35), nn.Linear(5, 7))
        self.flat = FlatParameters(model, alignment=alignment)
        self.optimizer = RMSProp(self.flat, weight_decay=0.1, momentum=0.8, decay=0.7)
        self.average = WeightAverage(self.flat, decay=0.6) if averages else None

    def draw(self) -> None:
        for vector in (self.flat.grads, self.flat.statistics):
            vector.normal_()

    def plain(self, skipped: Tensor | None) -> None:
        self.optimizer.step(RATE, skipped=skipped)
        if self.average is not None:
            self.average.update()

    def kernel(self, skipped: Tensor | None) -> None:
        KernelUpdate(self.optimizer, self.average)(RATE, skipped=skipped)

    def state(self) -> dict[str, Tensor]:
        average = {} if self.average is None else {f"a.{k}": v for k, v in self.average.state().items()}
        return {"values": self.flat.values, **self.optimizer.state(), **average}


def steps(trained: Trained, update: Callable[[Tensor | None], None], skipped: tuple[int, ...] = ()) -> None:
    torch.manual_seed(1)
    for i in range(12):
        trained.draw()
        update(torch.tensor(float(i in skipped)) if skipped else None)


@pytest.mark.parametrize(("alignment", "averages"), [(1, True), (8, True), (8, False)])
def test_steps_are_those_of_the_optimizer_and_the_average(alignment: int, averages: bool) -> None:
    """Twelve of them, over which the average's decay rises to its bound."""
    found, wanted = (Trained(alignment, averages=averages) for _ in range(2))
    steps(found, found.kernel)
    steps(wanted, wanted.plain)
    for name, value in wanted.state().items():
        torch.testing.assert_close(found.state()[name], value, rtol=1e-5, atol=1e-6, msg=name)


def test_a_skipped_step_changes_nothing_but_the_average() -> None:
    found, wanted = Trained(), Trained()
    steps(found, found.kernel, skipped=(0, 5))
    steps(wanted, wanted.plain, skipped=(0, 5))
    for name, value in wanted.state().items():
        torch.testing.assert_close(found.state()[name], value, rtol=1e-5, atol=1e-6, msg=name)
    before = {name: value.clone() for name, value in found.state().items() if not name.startswith("a.")}
    found.flat.grads.fill_(float("nan"))
    found.kernel(torch.ones(()))
    assert all(torch.equal(found.state()[name], value) for name, value in before.items())

"""The training step with each of the other optimizers: state, loss scaling, timing, devices and graphs."""

import pytest
import torch
from small_networks import SMALL
from small_trials import CPU, RECIPE, digits, first_images
from threaded_devices import on_devices
from torch import Tensor

from trials.recipe import Recipe
from trials.timing.step_time import undisturbed
from trials.training.device_group import ALONE, DeviceGroup, share_of_batch
from trials.training.recipe_network import network_for
from trials.training.step import TrainingStep

pytestmark = pytest.mark.usefixtures("as_a_worker")
OTHERS = ("sgd", "adamw", "muon")


def step_by(
    name: str, *, precision: str = "fp32", group: DeviceGroup = ALONE, device: torch.device = CPU
) -> TrainingStep:
    torch.manual_seed(0)
    given = {"epochs": 1, "batch_size": 32, "resolution": RECIPE.resolution, "averaging_decay": 0.9}
    recipe = Recipe(optimizer=name, **given)  # type: ignore[arg-type]
    network = network_for(SMALL, recipe, num_classes=10)
    step = TrainingStep(network, recipe, device=device, precision=precision, group=group)
    step.learning_rate.fill_(recipe.learning_rate)
    return step


def take(step: TrainingStep, steps: int) -> None:
    images, labels = (tensor.to(step.device) for tensor in first_images(digits(), 32))
    share = share_of_batch(32, rank=step.group.rank, size=step.group.size)
    for _ in range(steps):
        step(images[share], labels[share])


def assert_equal(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert torch.equal(found[name], value), name


@pytest.mark.parametrize("name", OTHERS)
def test_step_lowers_the_loss_and_goes_on_from_its_state(name: str) -> None:
    step, other = step_by(name), step_by(name)
    take(step, 1)
    first = step.read_totals()[0]
    take(step, 7)
    other.load(step.state())
    assert_equal(other.state(), step.state())
    step.read_totals()
    for each in (step, other):
        take(each, 1)
    assert step.read_totals()[0] < first
    assert_equal(other.state(), step.state())


@pytest.mark.parametrize("name", OTHERS)
def test_step_in_float16_reads_nothing_back_and_skips_what_overflows(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = step_by(name, precision="fp16")
    take(step, 1)
    step.scaler.scale.fill_(torch.finfo(torch.float32).max)
    before = step.state()

    def refuse(*_: object) -> None:
        raise AssertionError("the host waited for the device")

    images, labels = first_images(digits(), 32)
    for method in ("item", "tolist", "__bool__", "__float__", "__int__", "cpu"):
        monkeypatch.setattr(torch.Tensor, method, refuse)
    step(images, labels)
    monkeypatch.undo()
    after = step.state()
    unchanged = {key for key in before if key == "values" or key.startswith("optimizer.")}
    assert_equal({key: after[key] for key in unchanged}, {key: before[key] for key in unchanged})
    assert float(after["scaler.scale"]) < float(before["scaler.scale"])


@pytest.mark.parametrize("name", OTHERS)
def test_timing_leaves_the_state_as_it_was(name: str) -> None:
    step = step_by(name)
    take(step, 2)
    before = step.state()
    with undisturbed(step):
        take(step, 2)
    assert_equal(step.state(), before)


@pytest.mark.parametrize("name", OTHERS)
def test_devices_of_a_group_stay_equal(name: str) -> None:
    def trained(group: DeviceGroup) -> dict[str, Tensor]:
        step = step_by(name, group=group)
        step.copy_first()  # threads share the generator of weights
        take(step, 3)
        return step.state()

    first, second = on_devices(2, trained)
    assert_equal(first, second)
    assert any(value.any() for key, value in first.items() if key.startswith("optimizer."))


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("name", OTHERS)
def test_graph_of_a_step_gives_the_numbers_of_the_step_itself(name: str, precision: str) -> None:
    device = torch.device("cuda:0")
    plain, graphed = (step_by(name, precision=precision, device=device) for _ in range(2))
    calls = graphed.graphed(graphed)
    images, labels = (tensor.to(device) for tensor in first_images(digits(), 32))
    for _ in range(4):
        plain(images, labels)
        calls(images, labels)
    assert calls.has_recorder
    for key, value in plain.state().items():
        torch.testing.assert_close(graphed.state()[key], value, rtol=1e-3, atol=1e-4, msg=key)

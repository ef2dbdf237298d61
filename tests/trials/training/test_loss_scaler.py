"""Training in float16: the loss is scaled, steps that overflow are skipped, and nothing is read back."""

from dataclasses import replace

import pytest
import torch
from small_networks import SMALL
from small_trials import CPU, RECIPE, digits, first_images, new_step

from trials.training.loss_scaler import BACKOFF, FIRST_SCALE, GROWTH_STEPS, LossScaler
from trials.training.step import TrainingStep, build_step

pytestmark = pytest.mark.usefixtures("as_a_worker")


def step_in(precision: str, device: torch.device = CPU) -> TrainingStep:
    torch.manual_seed(0)
    step = build_step(SMALL, RECIPE, num_classes=10, device=device, precision=precision)
    step.learning_rate.fill_(0.003)
    return step


def test_scaler_does_what_torchs_own_does() -> None:
    ours, theirs = LossScaler(CPU), torch.amp.GradScaler("cpu")
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.SGD([weight], lr=0.0)
    for gradient in (1.0, torch.inf, 2.0, torch.nan, *[3.0] * 5):
        scale = float(ours.scale)
        grads = torch.full((3,), gradient) * ours.scale
        weight.grad = None
        theirs.scale((weight * gradient).sum()).backward()
        theirs.unscale_(optimizer)
        overflow = ours.unscale(grads)
        assert bool(overflow) == (not torch.isfinite(torch.tensor(gradient)))
        assert weight.grad is not None
        torch.testing.assert_close(grads, weight.grad, equal_nan=True)
        theirs.step(optimizer)
        theirs.update()
        ours.update()
        assert float(ours.scale) == theirs.get_scale() == (scale * BACKOFF if overflow else scale)


def test_scale_grows_after_many_steps_without_an_overflow() -> None:
    scaler = LossScaler(CPU)
    scaler.steps.fill_(GROWTH_STEPS - 1)
    scaler.unscale(torch.ones(2))
    scaler.update()
    assert (float(scaler.scale), int(scaler.steps)) == (2 * FIRST_SCALE, 0)


def test_step_in_float16_trains_as_one_in_float32() -> None:
    images = first_images(digits(), 64)
    losses = {}
    for precision in ("fp32", "fp16"):
        step = step_in(precision)
        for _ in range(12):
            step(*images)
        losses[precision] = step.read_totals()[0]
    assert losses["fp16"] == pytest.approx(losses["fp32"], rel=0.02)


def test_step_that_overflows_changes_no_weight_and_lowers_the_scale() -> None:
    step, images = step_in("fp16"), first_images(digits(), 32)
    step(*images)
    step.scaler.scale.fill_(torch.finfo(torch.float32).max)
    before = step.state()
    step(*images)
    after = step.state()
    for name in ("values", "optimizer.mean_square", "optimizer.velocity"):
        assert torch.equal(before[name], after[name]), name
    assert float(after["scaler.scale"]) == BACKOFF * float(before["scaler.scale"])


def test_step_in_float16_reads_nothing_back(monkeypatch: pytest.MonkeyPatch) -> None:
    step, images = step_in("fp16"), first_images(digits(), 32)

    def refuse(*_: object) -> None:
        raise AssertionError("the host waited for the device")

    for name in ("item", "tolist", "__bool__", "__float__", "__int__", "cpu"):
        monkeypatch.setattr(torch.Tensor, name, refuse)
    step(*images)


def test_scale_is_part_of_the_state_of_float16_alone() -> None:
    assert {name for name in step_in("fp16").state() if "scaler" in name} == {"scaler.scale", "scaler.steps"}
    assert not [name for name in new_step().state() if "scaler" in name]
    step, other = step_in("fp16"), step_in("fp16")
    step.scaler.scale.fill_(8.0)
    other.load(step.state())
    assert float(other.scaler.scale) == 8.0


def test_micro_batches_in_float16_add_up_to_the_batch() -> None:
    images = first_images(digits(), 32)
    grads = []
    for parts in (1, 2):
        step = step_in("fp16")
        step.micro_batches = parts
        step.network.eval()
        step.network.train = lambda mode=True, network=step.network: network  # type: ignore[assignment,misc]
        step.learning_rate.zero_()
        step(*images)
        grads.append(step.optimizer.velocity.clone() + step.optimizer.mean_square)
    torch.testing.assert_close(grads[0], grads[1], rtol=2e-2, atol=2e-3)


@pytest.mark.gpu
def test_step_in_float16_is_recorded_as_a_cuda_graph_and_trains() -> None:
    device = torch.device("cuda:0")
    step = step_in("fp16", device)
    images, labels = (tensor.to(device) for tensor in first_images(digits(), 64))
    calls = step.graphed(step)
    for _ in range(3):
        calls(images, labels)
    assert calls.has_recorder
    first = step.read_totals()[0]
    for _ in range(20):
        calls(images, labels)
    assert step.read_totals()[0] < first
    step.scaler.scale.fill_(torch.finfo(torch.float32).max)
    before = step.parameters.values.clone()
    calls(images, labels)
    assert torch.equal(before, step.parameters.values)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "tf32"])
def test_convolutions_of_float32_are_exact_unless_tf32_was_asked_for(precision: str) -> None:
    from trials.devices.arithmetic import autocast

    device = torch.device("cuda:0")
    if torch.cuda.get_device_capability(device) < (8, 0):
        pytest.skip("no TF32 here")
    torch.manual_seed(0)
    images, weight = torch.randn(4, 64, 16, 16), torch.randn(64, 64, 3, 3)
    exact = torch.nn.functional.conv2d(images.double(), weight.double(), padding=1)
    with autocast(precision, device):
        found = torch.nn.functional.conv2d(images.to(device), weight.to(device), padding=1).cpu().double()
    error = float((found - exact).abs().max() / exact.abs().max())
    assert (error > 1e-5) == (precision == "tf32")


@pytest.mark.gpu
def test_weights_and_gradients_on_cuda_lie_at_16_bytes() -> None:
    step = build_step(
        SMALL,
        replace(RECIPE, averaging_decay=0.9),
        num_classes=7,
        device=torch.device("cuda:0"),
        precision="fp32",
    )
    for parameter in step.network.parameters():
        assert parameter.data_ptr() % 16 == 0
        assert parameter.grad is not None
        assert parameter.grad.data_ptr() % 16 == 0

"""Devices that share each batch: shares, sums, batch norm over all, and the same training as on one.

The devices are threads here, and what they exchange goes through gloo as between processes.
"""

import threading
import warnings
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import torch
from small_networks import SMALL
from small_trials import RECIPE, digits, first_images
from threaded_devices import on_devices
from torch import Tensor, nn
from torch.distributed import HashStore, ProcessGroupGloo

from search_spaces.networks.network import build_network
from trials.augmentation.mixing import cutmix, mixup
from trials.recipe import Ramp, Recipe
from trials.training.cuda_graphs import CudaRecorder, GraphedCalls
from trials.training.device_group import ALONE, DeviceGroup, PeerLostError, share_of_batch
from trials.training.micro_batches import fit_in_memory
from trials.training.step import TrainingStep
from trials.training.sync_batch_norm import synchronise_batch_norm
from trials.training.train import EpochEnd, train

pytestmark = pytest.mark.usefixtures("as_a_worker")

CPU = torch.device("cpu")
SYNCHRONOUS = replace(RECIPE, epochs=1, sync_batch_norm=True, warmup_epochs=0.5)


# ---------------------------------------------------------------- shares and sums


@pytest.mark.parametrize(("batch", "size", "pairing"), [(16, 2, 4), (24, 3, 4), (12, 2, 2), (6, 2, 1)])
def test_devices_shares_make_up_the_batch_and_keep_mixed_images_together(
    batch: int, size: int, pairing: int
) -> None:
    shares = [share_of_batch(batch, rank=rank, size=size, pairing=pairing) for rank in range(size)]
    assert sorted(torch.cat(shares).tolist()) == list(range(batch))
    assert len({len(share) for share in shares}) == 1
    for share in shares:
        half, whole = len(share) // 2, batch // 2
        if pairing >= 2:
            assert (share + share.flip(0) == batch - 1).all()
        if pairing == 4:
            assert (share[:half] + share[:half].flip(0) == whole - 1).all()
            assert (share[half:] + share[half:].flip(0) == whole + batch - 1).all()


@pytest.mark.parametrize("mix", [lambda x, r: mixup(x, r), lambda x, r: cutmix(x, r, torch.stack([r, r], 1))])
def test_mixing_a_devices_share_is_mixing_the_batch(
    mix: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
) -> None:
    torch.manual_seed(0)
    images, ratios = torch.rand(8, 4, 4, 3), torch.rand(8)
    mixed, weights = mix(images, ratios)
    for rank in (0, 1):
        share = share_of_batch(8, rank=rank, size=2, pairing=4)
        own, own_weights = mix(images[share], ratios[share])
        assert torch.equal(own, mixed[share])
        assert torch.equal(own_weights, weights[share])


@pytest.mark.parametrize(("batch", "pairing", "multiple"), [(63, 1, 2), (62, 2, 4), (60, 4, 8)])
def test_batch_that_devices_cannot_share_is_refused_with_the_right_multiple(
    batch: int, pairing: int, multiple: int
) -> None:
    with pytest.raises(ValueError, match=rf"batch of {batch} images .* 2 devices.* multiple of {multiple}\b"):
        share_of_batch(batch, size=2, pairing=pairing)


def test_group_of_devices_sums_copies_gathers_and_passes_on_text() -> None:
    def work(group: DeviceGroup) -> list[Any]:
        values = torch.arange(3.0) * (group.rank + 1)
        copied = torch.full((2,), float(group.rank + 5))
        group.sum(values)
        group.copy_first(copied)
        told = group.text_of_first(f"ä{group.rank}")
        return [
            values.tolist(),
            copied.tolist(),
            group.largest(group.rank / 3),
            group.gathered(group.rank),
            told,
        ]

    expected = [[0.0, 6.0, 12.0], [5.0, 5.0], 2 / 3, [0.0, 1.0, 2.0], "ä0"]
    assert on_devices(3, work) == [expected] * 3
    assert (ALONE.largest(2.5), ALONE.gathered(3), ALONE.text_of_first("a")) == (2.5, [3.0], "a")


def test_sum_over_devices_raises_when_another_device_is_gone() -> None:
    store, both_are_there = HashStore(), threading.Event()

    def group_of(rank: int) -> DeviceGroup:
        return DeviceGroup(ProcessGroupGloo(store, rank, 2, timedelta(seconds=600)))

    def other_device() -> None:
        group = group_of(1)
        both_are_there.wait(600)  # gone earlier, it would break the first one's connecting
        del group

    other = threading.Thread(target=other_device)
    other.start()
    group = group_of(0)
    both_are_there.set()
    other.join()
    with pytest.raises(PeerLostError, match="another device is gone"):
        group.sum(torch.ones(3))


# ---------------------------------------------------------------- batch norm over all devices


def test_batch_norm_over_two_devices_is_that_of_their_images_together() -> None:
    torch.manual_seed(0)
    images = torch.randn(8, 3, 5, 5, dtype=torch.float64) * 3 + 100  # a mean far from 0
    aims = torch.randn(8, 3, 5, 5, dtype=torch.float64)

    def norm() -> nn.Sequential:
        plain = nn.BatchNorm2d(3, eps=1e-3, momentum=0.3).double()
        with torch.no_grad():
            plain.weight.copy_(torch.tensor([0.5, 1.0, 2.0]))
            plain.bias.copy_(torch.tensor([1.0, 0.0, -1.0]))
        return nn.Sequential(plain)

    def passed(module: nn.Module, pixels: Tensor, wanted: Tensor) -> list[Tensor]:
        pixels = pixels.clone().requires_grad_()
        output = module(pixels)
        (output * wanted).sum().backward()
        assert pixels.grad is not None
        gradients = [parameter.grad for parameter in module.parameters()]
        return [output.detach(), pixels.grad, *gradients, *map(torch.clone, module.buffers())]  # type: ignore[list-item]

    def work(group: DeviceGroup) -> list[Tensor]:
        module = norm()
        synchronise_batch_norm(module, group)
        own = slice(4 * group.rank, 4 * group.rank + 4)
        return passed(module, images[own], aims[own])

    whole = passed(norm(), images, aims)
    first, second = on_devices(2, work)
    for i in (0, 1):  # outputs and the images' gradients
        torch.testing.assert_close(torch.cat([first[i], second[i]]), whole[i], rtol=1e-9, atol=1e-12)
    for i in (2, 3):  # those of weight and bias are each device's part
        torch.testing.assert_close(first[i] + second[i], whole[i], rtol=1e-9, atol=1e-9)
    for i in (4, 5):  # running mean and variance
        assert torch.equal(first[i], second[i])
        torch.testing.assert_close(first[i], whole[i], rtol=1e-9, atol=1e-12)


def test_batch_norm_over_devices_keeps_tensor_names_and_evaluation() -> None:
    torch.manual_seed(0)
    network = build_network(SMALL, num_classes=4).eval()
    images = torch.rand(2, 3, 16, 16)
    before, names = network(images), list(network.state_dict())
    synchronise_batch_norm(network, ALONE)
    assert list(network.state_dict()) == names
    assert torch.equal(network(images), before)


# ---------------------------------------------------------------- training


def new_step(recipe: Recipe, group: DeviceGroup = ALONE) -> TrainingStep:
    generator = torch.Generator().manual_seed(1)  # threads share torch's own one
    network = build_network(SMALL, num_classes=10)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.dim() > 1:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return TrainingStep(network, recipe, device=CPU, precision="fp32", group=group)


def trained(recipe: Recipe, group: DeviceGroup = ALONE, *, micro_batches: int = 1) -> tuple[Any, ...]:
    step = new_step(recipe, group)
    step.micro_batches = micro_batches
    images = digits()
    ends = list(train(step, recipe, images_at=lambda size: images, epochs=1, seed=3))
    end = ends[-1]
    assert isinstance(end, EpochEnd)
    return step.state(), end


@pytest.mark.parametrize(
    "recipe",
    [
        SYNCHRONOUS,
        replace(SYNCHRONOUS, batch_norm_batches=3),
        replace(
            SYNCHRONOUS, randaugment=Ramp(5, 5), crop_padding=0.125, mixup=Ramp(0.2, 0.2), cutmix=Ramp(1, 1)
        ),
    ],
    ids=["plain", "statistics estimated", "augmented and mixed"],
)
def test_two_devices_train_as_one_does_with_the_whole_batch(recipe: Recipe) -> None:
    """Nine steps, drops off, batch norm over all: the same to float32's rounding, and equal on both."""
    (state, end), (other, _) = on_devices(2, lambda group: trained(recipe, group))
    expected, whole = trained(recipe)
    assert all(torch.equal(state[name], other[name]) for name in state)
    for name in ("values", "statistics", "average.values", "average.statistics"):
        difference = (state[name] - expected[name]).norm() / expected[name].norm()
        assert difference < 1e-3, name
    assert end.train_loss == pytest.approx(whole.train_loss, rel=1e-4)
    assert end.train_accuracy == pytest.approx(whole.train_accuracy, abs=0.01)
    assert end.minival_loss == pytest.approx(whole.minival_loss, rel=1e-3)


def test_devices_with_batch_norm_of_their_own_stay_equal() -> None:
    recipe = replace(SYNCHRONOUS, sync_batch_norm=False)
    (state, end), (other, other_end) = on_devices(2, lambda group: trained(recipe, group, micro_batches=2))
    assert all(torch.equal(state[name], other[name]) for name in state)
    assert (end.minival_loss, end.minival_accuracy) == (other_end.minival_loss, other_end.minival_accuracy)


def test_micro_batches_of_devices_add_up_to_the_batch() -> None:
    """With batch norm's statistics as they are when a network judges: else each part has its own."""
    images, labels = first_images(digits(), 32)
    frozen = replace(RECIPE, averaging_decay=0.0, label_smoothing=0.0)

    def gradient(group: DeviceGroup, parts: int, share: Tensor) -> Tensor:
        step = new_step(frozen, group)
        step.micro_batches = parts
        step.network.eval()
        step.network.train = lambda mode=True: step.network  # type: ignore[method-assign, assignment]
        step.learning_rate.fill_(1.0)
        step(images[share], labels[share])
        return step.optimizer.velocity.clone()

    both = on_devices(
        2, lambda group: gradient(group, 4, share_of_batch(32, rank=group.rank, size=2, pairing=1))
    )
    torch.testing.assert_close(both[0], gradient(ALONE, 1, torch.arange(32)), rtol=1e-4, atol=1e-6)


def test_all_devices_take_as_many_parts_as_the_one_with_the_least_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("trials.training.micro_batches.CHECKED", ("cpu",))
    monkeypatch.setattr("trials.training.micro_batches.FEWEST_IMAGES", 1)

    def work(group: DeviceGroup) -> int:
        step = new_step(SYNCHRONOUS, group)
        own, network = step.network.forward, step.network

        def short_of_memory(pixels: Tensor) -> Tensor:
            if group.rank == 1 and len(pixels) > 8:
                raise MemoryError
            return own(pixels)

        network.forward = short_of_memory  # type: ignore[method-assign]
        return fit_in_memory(step, batch_size=32, resolution=16, num_classes=10)

    assert on_devices(2, work) == [4, 4]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_sum_over_devices_can_be_recorded() -> None:
    from torch.distributed import ProcessGroupNCCL

    device = torch.device("cuda:0")
    group = DeviceGroup(ProcessGroupNCCL(HashStore(), 0, 1), device)
    value = torch.zeros(4, device=device)

    def add(more: Tensor) -> None:
        value.add_(more)
        group.sum(value)

    calls = GraphedCalls(add, changes=[value], record=CudaRecorder(device))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(3):
            calls(torch.ones(4, device=device))
    assert value.tolist() == [3.0] * 4

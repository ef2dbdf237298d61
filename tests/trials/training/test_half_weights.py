"""Weights cast once a step and gradients gathered at once, against autocast's and autograd's own."""

from contextlib import nullcontext, suppress

import pytest
import torch
from torch import Tensor, nn

from trials.training.flat_parameters import FlatParameters
from trials.training.half_weights import HalfWeights

HALVES = [None, torch.bfloat16]


class Model(nn.Module):
    """Convolution, batch norm and a linear layer that is used twice; a weight that only `extra` uses."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.convolution = nn.Conv2d(3, 8, 3, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.linear = nn.Linear(8, 8)
        self.tied = nn.Linear(8, 8)
        self.tied.weight = self.linear.weight
        self.extra = nn.Parameter(torch.ones(8))

    def forward(self, images: Tensor, *, extra: bool = False) -> Tensor:
        features = self.norm(self.convolution(images)).mean((2, 3))
        features = self.tied(torch.relu(self.linear(features)))
        return features * self.extra if extra else features


def model() -> tuple[Model, FlatParameters]:
    made = Model().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return made, FlatParameters(made, alignment=8)


def images(i: int) -> Tensor:
    return torch.randn(4, 3, 6, 6, generator=torch.Generator().manual_seed(i))


def loss_of(network: nn.Module, i: int, half: torch.dtype | None, **given: bool) -> Tensor:
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half is not None):
        loss: Tensor = network(images(i), **given).float().square().mean()
    return loss


def take(
    network: nn.Module, flat: FlatParameters, half: torch.dtype | None, *, parts: int = 1, **given: bool
) -> None:
    weights = None if half is None else HalfWeights(network, flat, half)
    if weights is not None:
        weights.refresh()
    for i in range(parts):
        with nullcontext() if weights is None else weights.used():
            loss = loss_of(network, i, half, **given)
        loss.backward()
        flat.collect(None if weights is None else weights.leaves, adds=i > 0)


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("parts", [1, 3])
def test_gradients_are_autograds(half: torch.dtype | None, parts: int) -> None:
    (network, flat), (plain, other) = model(), model()
    for _ in range(2):  # the second step's replace the first's
        take(network, flat, half, parts=parts)
        for i in range(parts):
            loss_of(plain, i, half).backward()
            other.collect(adds=i > 0)
    torch.testing.assert_close(
        flat.grads, other.grads, rtol=1e-2 if half else 1e-6, atol=1e-3 if half else 1e-7
    )
    assert flat.grads.any()


def test_gradients_of_one_part_are_equal_to_the_bit() -> None:
    (network, flat), (plain, other) = model(), model()
    network.tied.weight = nn.Parameter(network.tied.weight.detach().clone())  # of one use each
    plain.tied.weight = nn.Parameter(plain.tied.weight.detach().clone())
    flat, other = FlatParameters(network), FlatParameters(plain)
    take(network, flat, torch.bfloat16)
    loss_of(plain, 0, torch.bfloat16).backward()
    other.collect()
    assert torch.equal(flat.grads, other.grads)


def test_the_networks_own_parameters_stay_what_they_are() -> None:
    network, flat = model()
    names, own = list(network.state_dict()), dict(network.named_parameters())
    weights = HalfWeights(network, flat, torch.bfloat16)
    weights.refresh()
    with weights.used():
        assert network.convolution.weight.dtype == torch.bfloat16
        assert network.norm.weight.dtype == torch.float32  # autocast does not cast it
    with suppress(RuntimeError), weights.used():
        network(torch.ones(1))
    assert list(network.state_dict()) == names
    assert all(parameter is own[name] for name, parameter in network.named_parameters())


def test_each_step_computes_with_the_present_values() -> None:
    network, flat = model()
    weights = HalfWeights(network, flat, torch.bfloat16)
    weights.refresh()
    flat.values.mul_(2)
    weights.refresh()
    with weights.used():
        found = network.convolution.weight.detach().float().clone()
    torch.testing.assert_close(found, network.convolution.weight.detach(), rtol=1e-2, atol=1e-3)


def test_a_weight_without_a_gradient_in_a_step_has_zeros() -> None:
    network, flat = model()
    (at,) = (i for i, parameter in enumerate(flat.parameters) if parameter is network.extra)
    begin, end = flat.values_layout.ranges[at]
    take(network, flat, None, extra=True)
    assert flat.grads[begin:end].any()
    take(network, flat, None)
    assert not flat.grads[begin:end].any()


def test_modules_that_compute_with_their_weights_in_full_precision_keep_them() -> None:
    class Standardised(nn.Linear):
        """A user's own: its weights are standardised before autocast casts them."""

    network = nn.Sequential(Standardised(4, 4), nn.Linear(4, 4))
    weights = HalfWeights(network, FlatParameters(network), torch.bfloat16)
    with weights.used():
        assert [layer.weight.dtype for layer in network] == [torch.float32, torch.bfloat16]  # type: ignore[union-attr]

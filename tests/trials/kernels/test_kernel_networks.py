"""Networks and training steps with own kernels, in Triton's interpreter, against torch's operators."""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from small_networks import SMALL
from torch import nn
from triton_kernels import needs_triton

from search_spaces.networks.architecture import Architecture, Stage
from search_spaces.networks.network import Network, build_network
from search_spaces.networks.squeeze_excite import SqueezeExcite
from trials.kernels.cuda_blocks import use_cuda_kernels
from trials.kernels.cuda_norm import KernelBatchNorm2d
from trials.recipe import Ramp, Recipe
from trials.training.device_group import ALONE
from trials.training.step import TrainingStep, evaluate
from trials.training.sync_batch_norm import SyncBatchNorm2d, synchronise_batch_norm
from trials.training.synthetic_batch import SyntheticBatch

CPU = torch.device("cpu")
# Each way in which squeeze-excite and residuals stand in a block.
BLOCKS = Architecture(
    stem_channels=8,
    stages=(
        Stage(op="fused_mbconv", stride=1, expansion_ratio=1, channels=8, layers=1, se_ratio=0.5),
        Stage(op="fused_mbconv", stride=2, expansion_ratio=2, channels=12, layers=2, se_ratio=0.5),
        Stage(op="mbconv", stride=1, expansion_ratio=1, channels=12, layers=1, se_ratio=0.25),
        Stage(op="mbconv", stride=2, expansion_ratio=2, channels=16, layers=2),
    ),
    head_channels=16,
)
RECIPE = Recipe(epochs=1, batch_size=4, resolution=Ramp(16, 16), stochastic_depth=0.3, averaging_decay=0.9)


@pytest.fixture
def kernels_used(monkeypatch: pytest.MonkeyPatch, interpreted: None) -> None:
    monkeypatch.setenv("NAS_FUSED_KERNELS", "1")


def pair(architecture: Architecture = BLOCKS) -> tuple[Network, Network]:
    """A network with kernels, and the same with torch's operators."""
    torch.manual_seed(0)
    plain = build_network(architecture, num_classes=10, stochastic_depth=0.3)
    plain = plain.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    network = deepcopy(plain)
    use_cuda_kernels(network)
    return network, plain


def images() -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(4, 3, 16, 16, generator=generator).to(memory_format=torch.channels_last)


def kinds(network: nn.Module) -> set[type]:
    return {type(module) for module in network.modules()}


def test_parameters_and_buffers_and_their_names_stay() -> None:
    torch.manual_seed(0)
    plain = build_network(BLOCKS, num_classes=10, stochastic_depth=0.3)
    before, tensors = deepcopy(plain.state_dict()), {id(tensor) for tensor in plain.parameters()}
    use_cuda_kernels(plain)
    assert nn.BatchNorm2d not in kinds(plain)
    gates = [part for module in plain.modules() if type(module) is SqueezeExcite for part in module.modules()]
    assert all(type(module) is not nn.SiLU or module in gates for module in plain.modules())
    assert {id(tensor) for tensor in plain.parameters()} == tensors
    assert list(plain.state_dict()) == list(before)
    assert all(torch.equal(value, before[name]) for name, value in plain.state_dict().items())
    plain.set_strengths(dropout=0, stochastic_depth=0.5)  # finds the drops of all blocks
    assert plain.blocks()[-1].drop.drop_rate > 0.4


def test_a_network_with_kernels_computes_the_same_where_they_do_not_run() -> None:
    """On a CPU without the interpreter: torch's operators, with the same random draws."""
    network, plain = pair()
    outputs = []
    for each in (network, plain):
        torch.manual_seed(2)
        outputs.append(each(images()))
        outputs[-1].square().sum().backward()
    torch.testing.assert_close(*outputs)
    for own, other in zip(network.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(own.grad, other.grad, rtol=1e-4, atol=1e-5)


@needs_triton
@pytest.mark.parametrize("training", [True, False])
def test_a_network_with_kernels_agrees_with_torchs(training: bool, interpreted: None) -> None:
    network, plain = (each.train(training) for each in pair())
    outputs = []
    for each in (network, plain):
        torch.manual_seed(2)
        with torch.set_grad_enabled(training):
            outputs.append(each(images()))
        if training:
            outputs[-1].square().sum().backward()
    torch.testing.assert_close(*outputs, rtol=1e-4, atol=1e-4)
    for (name, own), other in zip(network.named_buffers(), plain.buffers(), strict=True):
        if not name.endswith("num_batches_tracked"):
            torch.testing.assert_close(own, other, rtol=1e-4, atol=1e-5, msg=name)
    for (name, own), other in zip(network.named_parameters(), plain.parameters(), strict=True):
        if training:
            difference = (own.grad - other.grad).abs().max() / other.grad.abs().max().clamp(min=1e-2)
            assert difference < 1e-3, name


@needs_triton
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_training_steps_with_kernels_follow_torchs(precision: str, kernels_used: None) -> None:
    batch = SyntheticBatch.random(batch_size=4, resolution=16, num_classes=10, device=CPU)
    states, evaluations = [], []
    for used in (True, False):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("NAS_FUSED_KERNELS", str(int(used)))
            torch.manual_seed(0)
            network = build_network(BLOCKS, num_classes=10, stochastic_depth=0.3)
            step = TrainingStep(network, RECIPE, device=CPU, precision=precision)
        assert step.kernels == ("fused" if used else "torch")
        assert (KernelBatchNorm2d in kinds(network)) == used
        step.learning_rate.fill_(1e-3)
        torch.manual_seed(1)
        for _ in range(2):
            step(batch.images, batch.labels)
        states.append(step.state())
        evaluations.append(evaluate(network, batch.images, batch.labels, device=CPU, precision=precision))
    off = 1e-4 if precision == "fp32" else 3e-2
    for name, value in states[1].items():
        if name != "optimizer.velocity":
            torch.testing.assert_close(states[0][name], value, rtol=off, atol=off, msg=name)
    torch.testing.assert_close(*evaluations, rtol=off, atol=off)


def test_synchronised_batch_norms_stay() -> None:
    torch.manual_seed(0)
    network = build_network(SMALL, num_classes=10)
    synchronise_batch_norm(network, ALONE)
    use_cuda_kernels(network)
    assert SyncBatchNorm2d in kinds(network)
    assert KernelBatchNorm2d not in kinds(network)
    network(images())


def test_batch_norms_of_other_blocks_are_replaced_one_by_one() -> None:
    torch.manual_seed(0)
    resnet = replace(
        SMALL,
        kind="resnet",
        stages=(Stage(op="bottleneck", stride=1, expansion_ratio=1, channels=16, layers=1),),
        head_channels=16,
    )
    plain = build_network(resnet, num_classes=10)
    network = deepcopy(plain)
    use_cuda_kernels(network)
    assert nn.BatchNorm2d not in kinds(network)
    torch.testing.assert_close(network(images()), plain(images()))

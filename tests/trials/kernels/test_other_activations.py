"""Own kernels in networks of other activations, kernel sizes and ops than theirs: torch computes these."""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import get_args

import pytest
import torch
from torch import Tensor, nn
from triton_kernels import needs_triton

from search_spaces.networks.architecture import Architecture, Stage
from search_spaces.networks.convnext import ConvNeXtBlock
from search_spaces.networks.network import Network, build_network
from search_spaces.networks.stage_fields import Activation
from trials.kernels import choice
from trials.kernels.cpu_blocks import QuickFusedMBConv, QuickMBConv, QuickNormalised, use_cpu_kernels
from trials.kernels.cpu_library import why_not
from trials.kernels.cuda_blocks import KernelFusedMBConv, KernelMBConv, use_cuda_kernels
from trials.recipe import Ramp, Recipe
from trials.training.step import build_step
from trials.training.synthetic_batch import SyntheticBatch

# Each way in which activations and squeeze-excite stand in a block, with residuals.
STAGES = (
    Stage(op="fused_mbconv", kernel_size=1, expansion_ratio=1, channels=8, layers=1, se_ratio=0.5),
    Stage(op="fused_mbconv", stride=2, expansion_ratio=2.25, channels=12, layers=2, se_ratio=0.5),
    Stage(op="fused_mbconv", expansion_ratio=1, channels=12, layers=1),
    Stage(op="mbconv", kernel_size=1, expansion_ratio=1, channels=16, layers=1),
    Stage(op="mbconv", kernel_size=7, expansion_ratio=1.5, channels=16, layers=2, se_ratio=0.25),
    Stage(op="mbconv", expansion_ratio=1.5, channels=16, layers=1, se_ratio=0.25),
)
NETWORK = Architecture(stem_channels=8, stages=STAGES, head_channels=16)
# Each op beside MBConv and Fused-MBConv, with and without a stride and a residual.
OTHER_OPS = Architecture(
    stem_channels=8,
    stages=(
        Stage(op="conv", expansion_ratio=1, channels=8, layers=2),
        Stage(
            op="uib", kernel_size=5, start_kernel_size=3, stride=2, expansion_ratio=3, channels=16, layers=2
        ),
        Stage(op="uib", kernel_size=0, start_kernel_size=5, expansion_ratio=2, channels=16, layers=1),
        Stage(op="uib", kernel_size=0, expansion_ratio=2, channels=16, layers=1),
        Stage(op="convnext", stride=2, kernel_size=7, expansion_ratio=2, channels=24, layers=2),
        Stage(op="basic", expansion_ratio=1, channels=24, layers=1),
        Stage(op="bottleneck", expansion_ratio=2, channels=16, layers=2),
    ),
    head_channels=16,
)
RECIPE = Recipe(epochs=1, batch_size=8, resolution=Ramp(16, 16), stochastic_depth=0.3, averaging_decay=0.9)
CPU = torch.device("cpu")
ACTIVATIONS = get_args(Activation)
needs_kernels = pytest.mark.skipif(why_not() is not None, reason=f"no fused kernels: {why_not()}")


def built(architecture: Architecture, use: Callable[[nn.Module], None]) -> tuple[Network, Network]:
    """A network with kernels, and the same with torch's operators."""
    torch.manual_seed(0)
    plain = build_network(architecture, num_classes=5, stochastic_depth=0.3)
    for module in plain.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.3)
        elif isinstance(module, ConvNeXtBlock):
            nn.init.ones_(module.layer_scale)  # else the branch would hardly be seen
    plain = plain.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    network = copy.deepcopy(plain)
    use(network)
    return network, plain


def assert_equal(network: Network, plain: Network) -> None:
    """Outputs in training and in evaluation, gradients and statistics are the same."""
    images = torch.randn(4, 3, 16, 16).to(memory_format=torch.channels_last)
    outputs: list[Tensor] = []
    for each in (network, plain):
        torch.manual_seed(2)  # of dropped branches
        outputs.append(each(images))
        outputs[-1].square().sum().backward()
    torch.testing.assert_close(*outputs, rtol=1e-4, atol=1e-4)
    for (name, own), other in zip(network.named_parameters(), plain.parameters(), strict=True):
        assert own.grad is not None
        assert other.grad is not None
        difference = (own.grad - other.grad).abs().max() / other.grad.abs().max().clamp(min=1e-2)
        assert difference < 1e-3, name
    with torch.no_grad():
        outputs = [each.eval()(images) for each in (network, plain)]
    torch.testing.assert_close(*outputs, rtol=1e-4, atol=1e-4)


@needs_kernels
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_networks_of_any_activation_compute_with_cpu_kernels_what_torch_computes(activation: str) -> None:
    network, plain = built(replace(NETWORK, activation=activation), use_cpu_kernels)  # type: ignore[arg-type]
    fused = [type(block) in (QuickMBConv, QuickFusedMBConv) for block in network.blocks()]
    # Of SiLU all, but for the depthwise convolutions of 1 and 7, and those of 18 and 27 channels.
    assert sum(fused) == (5 if activation == "silu" else 0)
    assert_equal(network, plain)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_networks_of_any_activation_compute_the_same_where_cuda_kernels_do_not_run(activation: str) -> None:
    network, plain = built(replace(NETWORK, activation=activation), use_cuda_kernels)  # type: ignore[arg-type]
    fused = [type(block) in (KernelMBConv, KernelFusedMBConv) for block in network.blocks()]
    # Where a convolution's activation is torch's, it stands between the convolution and the residual.
    alone = [
        block.op == "fused_mbconv" and block.expanded_channels == block.in_channels
        for block in NETWORK.blocks()
    ]
    assert fused == [activation == "silu" or not each for each in alone]
    assert_equal(network, plain)


@needs_triton
@pytest.mark.parametrize("activation", ["relu6", "gelu"])
def test_networks_of_any_activation_agree_with_torchs_with_cuda_kernels(
    activation: str, interpreted: None
) -> None:
    assert_equal(*built(replace(NETWORK, activation=activation), use_cuda_kernels))  # type: ignore[arg-type]


@needs_kernels
@pytest.mark.parametrize("activation", ["silu", "relu"])
def test_networks_of_other_ops_compute_with_cpu_kernels_what_torch_computes(activation: str) -> None:
    network, plain = built(replace(OTHER_OPS, activation=activation), use_cpu_kernels)  # type: ignore[arg-type]
    folded = [module for module in network.modules() if isinstance(module, QuickNormalised)]
    # Stem, head, 2 plain convolutions, 2 blocks of 4 layers, one of 3 and one of 2; of ReLU those without it.
    assert len(folded) == (17 if activation == "silu" else 7)
    assert not any(isinstance(block, QuickNormalised) for block in network.blocks())
    assert_equal(network, plain)


@needs_kernels
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_training_steps_of_other_ops_with_cpu_kernels_follow_torchs(
    precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = SyntheticBatch.random(batch_size=8, resolution=16, num_classes=5, device=CPU)
    states = []
    for used in (True, False):
        monkeypatch.setattr(choice, "_used", used)
        torch.manual_seed(0)
        step = build_step(OTHER_OPS, RECIPE, num_classes=5, device=CPU, precision=precision)
        assert step.kernels == ("fused" if used else "torch")
        step.learning_rate.fill_(1e-3)
        for _ in range(2):
            torch.manual_seed(1)  # of dropped branches
            step(batch.images, batch.labels)
        states.append(step.state())
    off = 1e-4 if precision == "fp32" else 3e-2
    for name, value in states[1].items():
        if not name.startswith("optimizer."):  # squares of gradients that are rounded
            torch.testing.assert_close(states[0][name], value, rtol=off, atol=off, msg=name)


@needs_triton
def test_networks_of_other_ops_agree_with_torchs_with_cuda_kernels(interpreted: None) -> None:
    assert_equal(*built(OTHER_OPS, use_cuda_kernels))


@needs_kernels
def test_one_stage_of_another_activation_leaves_the_others_their_kernels() -> None:
    stages = tuple(replace(stage, channels=16, expansion_ratio=2) for stage in STAGES[1:3])
    other = replace(stages[1], activation="relu")
    architecture = Architecture(stem_channels=16, stages=(stages[0], other), head_channels=16)
    network, plain = built(architecture, use_cpu_kernels)
    assert [type(block) is QuickFusedMBConv for block in network.blocks()] == [True, True, False]
    assert_equal(network, plain)

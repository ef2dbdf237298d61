"""Blocks and networks: contracts over all ops, padding, drops, initialisation."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from search_spaces.networks.architecture import Architecture, Block, Padding, Stage
from search_spaces.networks.blocks import BLOCKS
from search_spaces.networks.convolution import Convolution
from search_spaces.networks.dropping import Dropout, StochasticDepth
from search_spaces.networks.network import build_network
from search_spaces.networks.ops import SHIPPED_OPS
from search_spaces.networks.resolutions import check_resolution
from search_spaces.networks.squeeze_excite import SqueezeExcite
from search_spaces.settings.yaml_files import read_yaml

SMALL = Architecture(
    stem_channels=16,
    stages=(
        Stage(op="fused_mbconv", stride=1, expansion_ratio=1, channels=16, layers=2),
        Stage(op="fused_mbconv", kernel_size=5, stride=2, expansion_ratio=4, channels=24, layers=2),
        Stage(op="mbconv", stride=1, expansion_ratio=1, channels=24, layers=1, se_ratio=0.25),
        Stage(op="mbconv", kernel_size=5, stride=2, expansion_ratio=6, channels=40, layers=2, se_ratio=0.25),
    ),
    head_channels=64,
)


def block(op: str, **changes: int) -> Block:
    values = {"kernel_size": 3, "stride": 1, "in_channels": 8, "expanded_channels": 32, "squeeze_channels": 2}
    if op == "uib":
        values["start_kernel_size"] = 3
    return Block(op=op, **{**values, "out_channels": 8, **changes})  # type: ignore[arg-type]


def build(described: Block, padding: str = "symmetric", droppable: bool = False) -> nn.Module:
    kind = BLOCKS[described.op]
    return kind(described, padding=padding, momentum=0.1, epsilon=1e-3, droppable=droppable)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("op", "squeeze"), [(op, 0) for op in SHIPPED_OPS] + [("mbconv", 2), ("fused_mbconv", 2)]
)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel_size", [3, 5, 7])
@pytest.mark.parametrize("expansion", [1, 4])
def test_every_block_has_the_right_shape_gradients_and_squeeze(
    op: str, stride: int, kernel_size: int, expansion: int, squeeze: int
) -> None:
    described = block(
        op, stride=stride, kernel_size=kernel_size, expanded_channels=8 * expansion, squeeze_channels=squeeze
    )
    module = build(described)
    features = torch.randn(2, 8, 13, 13, requires_grad=True)
    output = module(features)
    side = math.ceil(13 / stride)
    assert output.shape == (2, 8, side, side)
    output.square().sum().backward()
    assert features.grad is not None
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in module.parameters())
    squeezes = [m for m in module.modules() if isinstance(m, SqueezeExcite)]
    assert [s.reduce.out_channels for s in squeezes] == ([squeeze] if squeeze else [])


def convolutions(module: nn.Module) -> list[tuple[int, int, int]]:
    return [
        (m.kernel_size[0], m.out_channels, m.groups) for m in module.modules() if isinstance(m, nn.Conv2d)
    ]


def test_blocks_of_expansion_1_leave_out_what_the_official_code_leaves_out() -> None:
    assert convolutions(build(block("mbconv", expanded_channels=8, squeeze_channels=0))) == [
        (3, 8, 8),
        (1, 8, 1),
    ]
    assert convolutions(build(block("fused_mbconv", expanded_channels=8, squeeze_channels=0))) == [(3, 8, 1)]
    assert convolutions(build(block("mbconv", squeeze_channels=0))) == [(1, 32, 1), (3, 32, 32), (1, 8, 1)]
    assert convolutions(build(block("fused_mbconv", squeeze_channels=0))) == [(3, 32, 1), (1, 8, 1)]


@pytest.mark.parametrize("op", ["mbconv", "fused_mbconv", "uib"])
def test_blocks_add_their_input_where_the_shapes_allow_it(op: str) -> None:
    for changes, residual in (({}, True), ({"stride": 2}, False), ({"out_channels": 16}, False)):
        module = build(block(op, **changes)).eval()
        norms = [m for m in module.modules() if isinstance(m, nn.BatchNorm2d)]
        nn.init.zeros_(norms[-1].weight)  # the branch's last norm: the branch gives 0
        features = torch.randn(1, 8, 6, 6)
        output = module(features)
        assert torch.equal(output, features) if residual else not output.any()


def test_fused_block_of_expansion_1_is_not_activated_after_the_sum() -> None:
    module = build(block("fused_mbconv", expanded_channels=8, squeeze_channels=0)).eval()
    features = -torch.ones(1, 8, 4, 4) * 5
    assert module(features).min() < -1  # SiLU's minimum is -0.28


def with_random_statistics(network: nn.Module) -> nn.Module:
    """Batch norms that change their input, as in a trained network."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values, low, high in ((module.running_mean, -0.2, 0.2), (module.running_var, 0.5, 1.5)):
                assert values is not None
                values.uniform_(low, high)
    return network.eval()


@pytest.mark.parametrize("name", ["small", "efficientnet-b0", "efficientnetv2-b0"])
@torch.no_grad()
def test_both_paddings_agree_on_sides_of_32n_plus_1_and_differ_on_others(name: str) -> None:
    torch.manual_seed(0)
    architecture = SMALL if name == "small" else read_yaml(Architecture, name)
    symmetric = with_random_statistics(build_network(architecture, num_classes=10))
    same = build_network(replace(architecture, padding="same"), num_classes=10).eval()
    same.load_state_dict(symmetric.state_dict())
    for side in (33, 65, 97):
        images = torch.randn(2, 3, side, side)
        torch.testing.assert_close(symmetric(images), same(images), rtol=0, atol=1e-6)
        images = torch.randn(2, 3, side - 1, side - 1)
        assert (symmetric(images) - same(images)).abs().max() > 1e-4


# Rows before and after by TensorFlow's rule: the output's side is ceil(n / s), and of an odd total the larger
# part stands after.
SAME_PADDING = [
    (6, 3, 2, (0, 1)),
    (7, 3, 2, (1, 1)),
    (6, 5, 2, (1, 2)),
    (7, 5, 2, (2, 2)),
    (6, 3, 1, (1, 1)),
    (6, 5, 1, (2, 2)),
    (2, 5, 2, (1, 2)),
    (1, 3, 2, (1, 1)),
    (6, 1, 2, (0, 0)),
]


@pytest.mark.parametrize(("side", "kernel_size", "stride", "padding"), SAME_PADDING)
@torch.no_grad()
def test_same_padding_equals_tensorflows_written_out(
    side: int, kernel_size: int, stride: int, padding: tuple[int, int]
) -> None:
    convolution = Convolution(1, 1, kernel_size=kernel_size, stride=stride, padding="same")
    image = torch.randn(1, 1, side, side)
    output = convolution(image)[0, 0]
    before, after = padding
    padded = torch.zeros(before + side + after, before + side + after)
    padded[before : before + side, before : before + side] = image[0, 0]
    assert output.shape == (math.ceil(side / stride),) * 2
    for row, column in np.ndindex(*output.shape):
        top, left = row * stride, column * stride
        window = padded[top : top + kernel_size, left : left + kernel_size]
        expected = (window * convolution.weight[0, 0]).sum().item()
        assert output[row, column].item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("padding", ["symmetric", "same"])
@pytest.mark.parametrize("kernel_size", [3, 5])
def test_a_stride_of_2_halves_any_side_rounding_up(padding: Padding, kernel_size: int) -> None:
    convolution = Convolution(3, 4, kernel_size=kernel_size, stride=2, padding=padding).to("meta")
    for side in range(1, 40):
        output = convolution(torch.empty(1, 3, side, side + 1, device="meta"))
        assert output.shape == (1, 4, math.ceil(side / 2), math.ceil((side + 1) / 2))


def test_stochastic_depth_drops_samples_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    drop = StochasticDepth()
    drop.drop_rate.fill_(0.3)
    ones = torch.ones(20_000, 2, 1, 1)
    out = drop(ones)
    assert out.unique().tolist() == pytest.approx([0.0, 1 / 0.7])
    assert torch.equal(out[:, 0], out[:, 1])
    assert (out == 0).float().mean().item() == pytest.approx(0.3, abs=0.015)
    assert out.mean().item() == pytest.approx(1, abs=0.02)
    assert torch.equal(drop.eval()(ones), ones)


def test_dropout_keeps_the_mean_and_is_the_identity_in_evaluation() -> None:
    torch.manual_seed(0)
    drop = Dropout()
    drop.drop_rate.fill_(0.4)
    ones = torch.ones(300, 300)
    assert drop(ones).mean().item() == pytest.approx(1, abs=0.02)
    assert (drop(ones) == 0).float().mean().item() == pytest.approx(0.4, abs=0.01)
    assert torch.equal(drop.eval()(ones), ones)


def test_drop_rates_grow_linearly_from_the_first_block() -> None:
    """Block i of N has rate * i / N, i from 0; only blocks with a residual drop."""
    network = build_network(SMALL, num_classes=10, stochastic_depth=0.2, dropout=0.3)
    rates = [m.drop_rate.item() for m in network.modules() if isinstance(m, StochasticDepth)]
    assert rates == pytest.approx([0.2 * i / 7 for i in (1, 3, 4, 6)])
    network.set_strengths(dropout=0.5, stochastic_depth=0.0)
    assert [m.drop_rate.item() for m in network.modules() if isinstance(m, StochasticDepth)] == [0.0] * 4
    assert isinstance(network.dropout, Dropout)
    assert network.dropout.drop_rate.item() == 0.5


def test_networks_that_drop_nothing_have_no_dropping_modules() -> None:
    plain = build_network(SMALL, num_classes=10)
    assert not [m for m in plain.modules() if isinstance(m, (StochasticDepth, Dropout))]
    dropping = build_network(SMALL, num_classes=10, stochastic_depth=0.2, dropout=0.3)
    assert dropping.state_dict().keys() == plain.state_dict().keys()


def test_weights_are_initialised_as_in_the_official_code() -> None:
    torch.manual_seed(0)
    wide = replace(
        SMALL,
        stages=(
            Stage(op="mbconv", kernel_size=5, expansion_ratio=6, channels=160, layers=2, se_ratio=0.25),
            Stage(op="fused_mbconv", expansion_ratio=4, channels=64, layers=1),
        ),
    )
    network = build_network(wide, num_classes=100)
    for module in network.modules():
        if isinstance(module, Convolution):
            expected = math.sqrt(2 / (module.kernel_size[0] ** 2 * module.out_channels / module.groups))
            tolerance = 5 / math.sqrt(module.weight.numel())
            assert module.weight.std().item() == pytest.approx(expected, rel=max(tolerance, 0.02))
            assert module.bias is None or not module.bias.any()
        if isinstance(module, nn.BatchNorm2d):
            assert (module.weight == 1).all()
            assert not module.bias.any()
            assert (module.eps, module.momentum) == (1e-3, 0.1)
    assert network.classifier.weight.abs().max() <= 0.1
    assert network.classifier.weight.abs().max() > 0.095


def test_stage_of_no_layers_changes_neither_identity_nor_network() -> None:
    absent = Stage(op="mbconv", expansion_ratio=6, channels=99, layers=0)
    longer = replace(SMALL, stages=(*SMALL.stages[:1], absent, *SMALL.stages[1:]))
    assert longer.architecture_id == SMALL.architecture_id
    first, second = build_network(SMALL, num_classes=5), build_network(longer, num_classes=5)
    assert [p.shape for p in first.parameters()] == [p.shape for p in second.parameters()]


def test_images_smaller_than_the_total_stride_are_refused() -> None:
    assert SMALL.total_stride == 8
    check_resolution(SMALL, 8)
    with pytest.raises(ValueError, match="use 8 px or more"):
        check_resolution(SMALL, 7)


def test_network_with_fewer_than_two_classes_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        build_network(SMALL, num_classes=1)

"""UIB, ConvNeXt, basic and plain convolutions: strides, shortcuts, memory format, initial weights, costs."""

import math
import re

import pytest
import torch
from places import REPOSITORY
from torch import nn

from search_spaces.networks.architecture import Architecture, Block, Stage
from search_spaces.networks.blocks import BLOCKS, FusedMBConv, MBConv
from search_spaces.networks.convnext import ConvNeXtBlock, LayerNorm2d
from search_spaces.networks.counting import count_stage
from search_spaces.networks.dropping import StochasticDepth
from search_spaces.networks.network import build_network
from search_spaces.networks.plain_convolution import PlainConvolution
from search_spaces.networks.uib import UniversalInvertedBottleneck


def stage(op: str, **fields: object) -> Stage:
    values = {"expansion_ratio": 1 if op in ("basic", "conv") else 2, "channels": 8, "layers": 1, **fields}
    return Stage(op=op, **values)  # type: ignore[arg-type]


EVERY = {
    "ExtraDW": stage("uib", kernel_size=5, start_kernel_size=3),
    "ConvNeXt-like": stage("uib", kernel_size=0, start_kernel_size=3),
    "convnext": stage("convnext", kernel_size=7),
    "basic": stage("basic"),
    "bottleneck": stage("bottleneck"),
    "conv": stage("conv"),
}


def built(block: Block, *, padding: str = "symmetric", droppable: bool = False) -> nn.Module:
    settings = {"padding": padding, "momentum": 0.1, "epsilon": 1e-3, "droppable": droppable}
    return BLOCKS[block.op](block, **settings)  # type: ignore[arg-type]


def strides(module: nn.Module) -> list[int]:
    return [layer.stride[0] for layer in module.modules() if isinstance(layer, nn.Conv2d)]


def test_the_stride_of_a_uib_is_that_of_its_second_depthwise_convolution_or_else_of_the_first() -> None:
    for kernels, wanted in (((3, 5), [1, 1, 2, 1]), ((5, 0), [2, 1, 1]), ((0, 3), [1, 2, 1])):
        block = stage("uib", start_kernel_size=kernels[0], kernel_size=kernels[1], stride=2).block(8)
        assert strides(built(block)) == wanted


def test_blocks_that_two_ops_build_alike_are_one() -> None:
    plain, mbconv = {"activation": "relu", "layers": 2}, stage("mbconv", layers=2, activation="relu")
    assert list(stage("uib", **plain).blocks(8)) == list(mbconv.blocks(8))
    fused = stage("fused_mbconv", kernel_size=1, **plain)
    assert list(stage("uib", kernel_size=0, **plain).blocks(8)) == list(fused.blocks(8))
    blocks = list(stage("conv", **plain).blocks(4))
    assert blocks[0] == next(stage("fused_mbconv", expansion_ratio=1, **plain).blocks(4))
    assert [type(built(block)) for block in blocks] == [FusedMBConv, PlainConvolution]
    assert type(built(stage("uib", start_kernel_size=3).block(8))) is UniversalInvertedBottleneck
    assert type(built(stage("uib").block(8))) is MBConv


@pytest.mark.parametrize("padding", ["symmetric", "same"])
@pytest.mark.parametrize("name", EVERY)
def test_shapes_channels_last_and_gradients_at_odd_sides(name: str, padding: str) -> None:
    torch.manual_seed(0)
    for stride, outputs in ((1, 8), (2, 8), (1, 16), (2, 16)):
        described = Stage(**{**vars(EVERY[name]), "stride": stride, "channels": outputs})
        module = built(described.block(8), padding=padding)
        plain = torch.randn(3, 8, 13, 9)
        features = plain.to(memory_format=torch.channels_last).requires_grad_()
        output = module.to(memory_format=torch.channels_last)(features)  # type: ignore[call-overload]
        assert output.shape == (3, outputs, math.ceil(13 / stride), math.ceil(9 / stride))
        assert output.is_contiguous(memory_format=torch.channels_last)
        output.square().sum().backward()
        assert features.grad is not None
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in module.parameters())
        torch.testing.assert_close(module.eval()(plain), module(features), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", EVERY)
def test_a_branch_that_is_dropped_leaves_the_input_and_a_plain_convolution_has_no_branch(name: str) -> None:
    module = built(EVERY[name].block(8), droppable=True).train()
    drops = [part for part in module.modules() if isinstance(part, StochasticDepth)]
    assert len(drops) == (name != "conv")
    features = torch.rand(64, 8, 3, 3)
    if drops:
        drops[0].drop_rate.fill_(0.5)
    kept = [torch.equal(own, given) for own, given in zip(module(features), features, strict=True)]
    assert 10 < sum(kept) < 54 if drops else not any(kept)


def test_a_convnext_block_scales_and_adds_and_its_downsampling_is_a_part_of_it() -> None:
    torch.manual_seed(0)
    block = built(stage("convnext", kernel_size=7).block(8))
    assert isinstance(block, ConvNeXtBlock)
    assert torch.equal(block.layer_scale, torch.ones(8))
    features = torch.randn(2, 8, 5, 5)
    nn.init.zeros_(block.layer_scale)
    assert torch.equal(block(features), features)
    # By hand: norm of each pixel, and a 2x2 convolution whose last row and column see zeros.
    down = built(stage("convnext", stride=2, channels=16).block(8)).downsample  # type: ignore[union-attr]
    norm, layer = down  # type: ignore[misc]
    assert isinstance(norm, LayerNorm2d)
    mean, variance = features.mean(1, keepdim=True), features.var(1, correction=0, keepdim=True)
    normed = nn.functional.pad((features - mean) / (variance + 1e-6).sqrt(), [0, 1, 0, 1])
    wanted = nn.functional.conv2d(normed, layer.weight, layer.bias, stride=2)
    torch.testing.assert_close(down(features), wanted, rtol=1e-4, atol=1e-5)  # type: ignore[operator]
    assert not hasattr(built(stage("convnext").block(8)).downsample, "weight")


def test_biases_of_depthwise_convolutions_count_on_a_cpu() -> None:
    block = built(stage("convnext").block(8))
    features = torch.randn(2, 8, 4, 4)
    before = block.depthwise(features)  # type: ignore[operator]
    nn.init.constant_(block.depthwise.bias, 2.0)  # type: ignore[union-attr,arg-type]
    torch.testing.assert_close(block.depthwise(features), before + 2)  # type: ignore[operator]


def test_a_network_of_all_ops_memorises_a_batch() -> None:
    torch.manual_seed(0)
    stages = tuple(
        Stage(**{**vars(each), "stride": 2 if i in (1, 3) else 1}) for i, each in enumerate(EVERY.values())
    )
    network = build_network(Architecture(stem_channels=8, stages=stages, head_channels=32), num_classes=4)
    images, labels = torch.randn(16, 3, 16, 16), torch.arange(16) % 4
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-3)
    losses = []
    for _ in range(30):
        loss = nn.functional.cross_entropy(network(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert abs(losses[0] - math.log(4)) < 1
    assert losses[-1] < 0.2


def test_costs_of_blocks_in_the_documentation_are_the_counted_ones() -> None:
    text = (REPOSITORY / "docs/spaces.md").read_text()
    rows = re.findall(
        r"^\| `(\w+)` \| (?:(\d) before, (\d) behind|(\d)) \| ([\d,]+) \| ([\d,]+) \|$", text, re.M
    )
    assert len(rows) == 11
    for op, start, behind, kernel, params, macs in rows:
        kernels = {"kernel_size": int(kernel or behind), "start_kernel_size": int(start or 0)}
        ratio = 1 if op in ("basic", "conv") else 4
        described = stage(op, channels=64, expansion_ratio=ratio, **kernels)
        figures = count_stage(described, in_channels=64, side=16, padding="symmetric")
        assert (f"{figures.params:,}", f"{figures.macs:,}") == (params, macs)

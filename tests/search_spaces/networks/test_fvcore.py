"""Our multiply-adds (torch's FlopCounterMode, meta device) against fvcore's, traced on real tensors."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn

from search_spaces.choices.space import SearchSpace, StageChoices
from search_spaces.networks.architecture import Architecture, Block
from search_spaces.networks.blocks import BLOCKS
from search_spaces.networks.counting import count, count_module
from search_spaces.networks.network import build_network
from search_spaces.settings.yaml_files import read_yaml

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def macs_by_fvcore(module: nn.Module, *input_shape: int) -> int:
    """Convolutions and linear layers only; fvcore's total adds batch norm and pooling."""
    from fvcore.nn import FlopCountAnalysis  # here, where what its import warns of is filtered

    analysis = FlopCountAnalysis(module.eval(), torch.zeros(input_shape))
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    by_operator = analysis.by_operator()
    return int(by_operator["conv"] + by_operator["linear"] + by_operator["addmm"])


@pytest.mark.parametrize("side", [33, 64])
@pytest.mark.parametrize(
    "name", ["efficientnetv2-s", "efficientnetv2-b0", "efficientnet-b0", "efficientnet-b4"]
)
def test_macs_of_whole_networks_agree_with_fvcore(name: str, side: int) -> None:
    architecture = read_yaml(Architecture, name)
    network = build_network(architecture, num_classes=1000)
    expected = count(architecture, num_classes=1000, resolution=side).macs
    assert macs_by_fvcore(network, 1, 3, side, side) == expected


def distinct_blocks(channels: int, stage: StageChoices) -> set[Block]:
    """Every block that a stage may hold on that many input channels: its first, and those after it."""
    rows: Iterator[dict[str, Any]] = (
        {"op": op, "kernel_size": kernel, "expansion_ratio": expansion, "channels": width, "layers": 2}
        for op in stage.op
        for kernel in stage.kernel_size
        for expansion in stage.expansion_ratio
        for width in stage.channels
    )
    return {
        block
        for row in rows
        for block in Architecture(
            stem_channels=channels, stages=(stage.stage(**row, se_ratio=None),), head_channels=1
        ).blocks()
    }


@pytest.mark.parametrize("number", range(1, 8))
def test_macs_of_every_block_of_the_paper_space_agree_with_fvcore(number: int) -> None:
    space = read_yaml(SearchSpace, "paper")
    widths = [space.stem_channels, *(stage.channels[0] for stage in space.stages)]
    blocks = distinct_blocks(widths[number - 1], space.stages[number - 1])
    assert len(blocks) == 24  # 2 ops, 2 kernels, 3 expansions; the first block and the others
    for block in blocks:
        settings = {"padding": "symmetric", "momentum": 0.1, "epsilon": 1e-3, "droppable": False}
        module = BLOCKS[block.op](block, **settings)  # type: ignore[arg-type]
        shape = (1, block.in_channels, 16, 16)
        assert macs_by_fvcore(module, *shape) == count_module(module.to("meta"), *shape).macs

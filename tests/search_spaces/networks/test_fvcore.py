"""Our multiply-adds (torch's formulas, meta device) against fvcore's, traced on real tensors."""

from collections.abc import Container, Iterable, Iterator
from itertools import product
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


NETWORKS = ("efficientnetv2-s", "efficientnetv2-b0", "efficientnet-b0", "efficientnet-b4")
FEW = (("efficientnetv2-b0", 33), ("efficientnet-b0", 64))  # both kinds of blocks, an odd and an even side


def few_or_nightly(few: Container[object], every: Iterable[object]) -> list[Any]:
    """Every case, of which those that are not among the few are nightly: fvcore traces for seconds."""
    return [
        pytest.param(
            *(case if isinstance(case, tuple) else (case,)), marks=() if case in few else pytest.mark.nightly
        )
        for case in every
    ]


@pytest.mark.parametrize(("name", "side"), few_or_nightly(FEW, product(NETWORKS, (33, 64))))
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


@pytest.mark.parametrize("number", few_or_nightly((1, 7), range(1, 8)))
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

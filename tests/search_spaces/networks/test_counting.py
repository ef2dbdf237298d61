"""Counts against the published ones, to the last digit; counting in parts equals counting whole."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from places import GOLDEN
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from search_spaces.choices.space import SearchSpace
from search_spaces.networks.architecture import Architecture, Stage
from search_spaces.networks.blocks import BLOCKS
from search_spaces.networks.counting import count, count_module
from search_spaces.networks.network import build_head, build_network, build_stem
from search_spaces.networks.ops import op_facts
from search_spaces.settings.yaml_files import read_yaml

EXPECTED: dict[str, Any] = yaml.safe_load((GOLDEN / "networks.yaml").read_text())
NETWORKS = sorted(EXPECTED["networks"])
# of each family one; that counting in parts equals counting whole is asked of other networks too
WHOLE = ("efficientnet-b1", "efficientnetv2-b2", "efficientnetv2-l", "resnet34", "resnet50")


def test_golden_counts_are_those_of_exactly_the_published_networks() -> None:
    assert sorted(path.stem for path in Architecture.SHIPPED.glob("*.yaml")) == NETWORKS


@pytest.mark.parametrize("name", NETWORKS)
def test_published_networks_have_the_published_counts(name: str) -> None:
    golden, architecture = EXPECTED["networks"][name], read_yaml(Architecture, name)
    for resolution, macs in golden["macs_by_resolution"].items():
        counts = count(architecture, num_classes=1000, resolution=resolution)
        assert (counts.params, counts.macs) == (golden["params"], macs)
    for num_classes, params in golden.get("params_by_classes", {}).items():
        assert count(architecture, num_classes=num_classes, resolution=224).params == params


@pytest.mark.parametrize("name", NETWORKS)
def test_stages_of_published_networks_have_the_published_counts(name: str) -> None:
    golden, architecture = EXPECTED["networks"][name], read_yaml(Architecture, name)
    counts = count(architecture, num_classes=1000, resolution=golden["table_resolution"])
    assert [stage.params for stage in counts.stages] == golden["stage_params"]
    assert [stage.macs for stage in counts.stages] == golden["stage_macs"]
    assert [stage.out_side for stage in counts.stages] == golden["stage_sides"]
    without = counts.params - (architecture.head_channels + 1) * 1000
    assert without == golden["params_without_classifier"]


@pytest.mark.parametrize("name", WHOLE)
def test_published_networks_built_whole_have_the_published_counts(name: str) -> None:
    """One module on the meta device: its parameters by stage, and all of it counted at once."""
    golden = EXPECTED["networks"][name]
    with torch.device("meta"):
        network = build_network(read_yaml(Architecture, name), num_classes=1000)
    assert [sum(p.numel() for p in stage.parameters()) for stage in network.stages] == golden["stage_params"]
    side = golden["table_resolution"]
    whole = count_module(network, 1, 3, side, side)
    assert (whole.params, whole.macs) == (golden["params"], golden["macs_by_resolution"][side])


@pytest.mark.parametrize("name", NETWORKS)
def test_headers_of_published_files_state_the_counts(name: str) -> None:
    golden = EXPECTED["networks"][name]
    side = golden["table_resolution"]
    header, command = (Architecture.SHIPPED / f"{name}.yaml").read_text().splitlines()[:2]
    macs = golden["macs_by_resolution"][side]
    assert header.endswith(f"{golden['params']:,} parameters, {macs:,} MACs at {side} px, 1,000 classes")
    assert command == f"#   nas describe {name}"


def b4_sized(rows: list[list[Any]]) -> Architecture:
    backbone = read_yaml(Architecture, "efficientnet-b4")
    stages = tuple(
        Stage(
            op=op,
            kernel_size=kernel,
            stride=stage.stride,
            expansion_ratio=expansion,
            channels=stage.channels,
            layers=layers,
            se_ratio=0.25 if op == "mbconv" else 0.0,
        )
        for (op, kernel, expansion, layers), stage in zip(rows, backbone.stages, strict=True)
    )
    return Architecture(stem_channels=48, stages=stages, head_channels=1792)


@pytest.mark.parametrize("golden", EXPECTED["b4_sized"], ids=lambda golden: golden["name"])
def test_members_of_the_paper_space_have_the_computed_counts(golden: dict[str, Any]) -> None:
    architecture = b4_sized(golden["stages"])
    space = read_yaml(SearchSpace, "paper")
    assert space.decode(space.encode(architecture)) == architecture
    for resolution, macs in golden["macs"].items():
        counts = count(architecture, num_classes=1000, resolution=resolution)
        assert (counts.params, counts.macs) == (golden["params"], macs)


@pytest.mark.parametrize("fused", [0, 3, 5, 7])
def test_b4_with_fused_stages_as_in_table_3(fused: int) -> None:
    """EfficientNetV2, Table 3, recomputed: kernels kept, no squeeze-excite in fused stages."""
    backbone = read_yaml(Architecture, "efficientnet-b4")
    rows = [
        ["fused_mbconv" if i < fused else "mbconv", stage.kernel_size, stage.expansion_ratio, stage.layers]
        for i, stage in enumerate(backbone.stages)
    ]
    counts = count(b4_sized(rows), num_classes=1000, resolution=380)
    assert [counts.params, counts.macs] == EXPECTED["b4_fused"][fused]


@pytest.mark.parametrize("extreme", ["smallest", "largest"])
def test_extremes_of_the_paper_space_have_the_computed_counts(extreme: str) -> None:
    space, golden = read_yaml(SearchSpace, "paper"), EXPECTED["paper_space_extremes"][extreme]
    architecture = space.decode(getattr(space, extreme)())
    for resolution, macs in golden["macs"].items():
        counts = count(architecture, num_classes=1000, resolution=resolution)
        assert (counts.params, counts.macs) == (golden["params"], macs)


def test_counting_block_by_block_equals_counting_the_whole_network() -> None:
    space = read_yaml(SearchSpace, "cifar")
    rng = np.random.default_rng(0)
    for _ in range(12):
        architecture = space.decode(space.choice_space().sample(rng))
        with torch.device("meta"):
            network = build_network(architecture, num_classes=7)
        whole = count_module(network, 1, 3, 40, 40)
        parts = count(architecture, num_classes=7, resolution=40)
        assert (parts.params, parts.macs, parts.activations) == (whole.params, whole.macs, whole.activations)


def by_flop_counter(module: nn.Module, *shape: int) -> tuple[int, int]:
    """MACs, and outputs of convolutions and linear layers, with every operator run by torch."""
    outputs: list[int] = []
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            layer.register_forward_hook(lambda layer, inputs, output: outputs.append(output.numel()))
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module.eval()(torch.empty(shape, device="meta"))
    return counter.get_total_flops() // 2, sum(outputs)


def every_kind_of_module() -> list[tuple[nn.Module, tuple[int, ...]]]:
    """Blocks with and without squeeze-excite, expansion, stride and residual; stems, heads, a classifier."""
    modules: list[tuple[nn.Module, tuple[int, ...]]] = [(nn.Linear(6, 5), (1, 6))]
    norm = {"momentum": 0.1, "epsilon": 1e-3}
    for kind in (None, "resnet"):
        stem = build_stem(8, stride=2, padding="symmetric", kind=kind, activation="silu", **norm)  # type: ignore[arg-type]
        modules += [(stem, (1, 3, 33, 33))]
        modules += [(build_head(8, 8, kind=kind, activation="silu", **norm), (1, 8, 5, 5))]  # type: ignore[arg-type]
    cases = product(BLOCKS, ("same", "symmetric"), (0, 0.25), (1, 4), (1, 2), (8, 16))
    for op, padding, se_ratio, expansion, stride, inputs in cases:
        facts = op_facts(op)
        if (not se_ratio or facts.takes_squeeze) and (expansion == 1 or facts.takes_expansion):
            shape = {"stride": stride, "expansion_ratio": expansion, "channels": 16, "se_ratio": se_ratio}
            start = {"start_kernel_size": 3} if facts.takes_start_kernel else {}
            block = Stage(op=op, layers=1, **shape, **start).block(inputs)  # type: ignore[arg-type]
            built = BLOCKS[block.op](block, padding=padding, droppable=False, **norm)  # type: ignore[arg-type]
            modules += [(built, (2, inputs, 9, 9))]
    return modules


def test_every_kind_of_block_is_counted_as_torch_counts_it() -> None:
    with torch.device("meta"):
        modules = every_kind_of_module()
    assert len(modules) == 133
    for module, shape in modules:
        figures = count_module(module, *shape)
        assert (figures.macs, figures.activations) == by_flop_counter(module, *shape)


class OwnOp(nn.Module):
    """A convolution, and after it whatever somebody's own op does."""

    def __init__(self, then: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.layer, self.then = nn.Conv2d(3, 4, 3), then

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.then(self.layer(features))


@pytest.mark.parametrize(
    "then",
    [
        lambda x: torch.add(x, x, alpha=2),
        lambda x: x.mean((2, 3), dtype=torch.float32),
        lambda x: x.mean((), keepdim=True),
        lambda x: (x.mean((2, 3), keepdim=True).sigmoid() * x).view(len(x), -1),
        lambda x: x.mean((1, -1)).reshape(-1),
    ],
    ids=["keyword", "dtype", "mean of all", "broadcast, then view", "mean of two"],
)
def test_what_own_ops_may_do_is_counted_as_torch_counts_it(
    then: Callable[[torch.Tensor], torch.Tensor],
) -> None:
    with torch.device("meta"):
        module = OwnOp(then)
    figures = count_module(module, 1, 3, 8, 8)
    assert (figures.macs, figures.activations) == by_flop_counter(module, 1, 3, 8, 8)
    assert figures.macs == 4 * 3 * 9 * 36


def test_counting_does_not_load_torchs_compiler() -> None:
    """Loading it takes a second of each process that counts."""
    code = """
import sys
from search_spaces.networks.architecture import Architecture
from search_spaces.networks.counting import count
from search_spaces.networks.ops import op_facts
from search_spaces.settings.yaml_files import read_yaml
count(read_yaml(Architecture, "efficientnetv2-b0"), num_classes=10, resolution=64)
print([name for name in ("torch", "torch._dynamo", "sympy") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['torch']"


@pytest.mark.parametrize("resolution", [64, 65, 75])
def test_both_paddings_have_the_same_counts(resolution: int) -> None:
    symmetric = read_yaml(Architecture, "efficientnet-b0")
    same = replace(symmetric, padding="same")
    counts = count(symmetric, num_classes=10, resolution=resolution)
    assert count(same, num_classes=10, resolution=resolution) == counts

"""An op of the user's own, as docs/api.md says: in a shipped op's place, and of a new name."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from places import PACKAGES, REPOSITORY
from torch import nn

from search_spaces.interchange.files import FORMATS, read_foreign, to_text
from search_spaces.interchange.tensor_names import foreign_names
from search_spaces.networks import blocks as blocks_module
from search_spaces.networks import ops as names_module
from search_spaces.networks.architecture import Architecture, Stage
from search_spaces.networks.blocks import BLOCKS, FusedMBConv, MBConv, own_ops
from search_spaces.networks.counting import count
from search_spaces.networks.network import build_network
from search_spaces.networks.ops import OPS, op_facts
from search_spaces.settings.config_error import ConfigError

EDITED = (blocks_module, names_module)
NETWORK = Architecture(
    stem_channels=16,
    stages=(
        Stage(op="fused_mbconv", expansion_ratio=1, channels=16, layers=1),
        Stage(op="mbconv", stride=2, expansion_ratio=4, channels=24, layers=2, se_ratio=0.25),
    ),
    head_channels=64,
)


class Doubled(nn.Module):
    """An MBConv twice, inside one module."""

    def __init__(self, block, **settings) -> None:  # type: ignore[no-untyped-def]
        super().__init__()
        self.first = MBConv(block, **settings)
        again = replace(block, in_channels=block.out_channels, stride=1)
        self.second = MBConv(again, **settings)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(features))


@pytest.fixture
def doubled(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the place of MBConv, after networks have been counted with MBConv."""
    count(NETWORK, num_classes=10, resolution=16)
    monkeypatch.setitem(BLOCKS, "mbconv", Doubled)


def test_an_op_in_a_shipped_ones_place_is_built_counted_and_dropped(doubled: None) -> None:
    network = build_network(NETWORK, num_classes=10, stochastic_depth=0.3)
    assert [type(block) for block in network.blocks()] == [FusedMBConv, Doubled, Doubled]
    built = sum(parameter.numel() for parameter in network.parameters())
    assert count(NETWORK, num_classes=10, resolution=16).params == built
    rates = [float(getattr(m, "drop_rate", 0.0)) for m in network.blocks()[2].modules()]
    assert max(rates) == pytest.approx(0.3 * 2 / 3)


def test_counts_are_the_shipped_ops_again_when_an_own_one_is_gone() -> None:
    before = count(NETWORK, num_classes=10, resolution=16)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BLOCKS, "mbconv", Doubled)
        assert count(NETWORK, num_classes=10, resolution=16).params > before.params
    assert count(NETWORK, num_classes=10, resolution=16) == before


@pytest.mark.parametrize("library", FORMATS)
def test_an_own_op_in_a_shipped_ones_place_is_not_exported_as_the_shipped_one(
    doubled: None, library: str
) -> None:
    assert own_ops(["fused_mbconv", "mbconv"]) == ["mbconv"]
    with pytest.raises(ConfigError, match=rf"{library} .*: mbconv: an op of your own here"):
        to_text(library, NETWORK)


def test_other_projects_weights_are_not_loaded_into_an_own_op(doubled: None) -> None:
    imported = read_foreign("timm", "tf_efficientnetv2_b0")
    with pytest.raises(ConfigError, match="mbconv: an op of your own here, which timm does not have"):
        foreign_names(imported.architecture, "timm")


# ---------------------------------------------------------------------- a new name

GHOST = '''

import torch


class Ghost(nn.Module):
    """Half of the channels by a 1x1 convolution, the others by a cheap depthwise one of these."""

    def __init__(self, block, *, padding, momentum, epsilon, droppable) -> None:
        super().__init__()
        half, norm = block.out_channels // 2, {"momentum": momentum, "epsilon": epsilon, "activation": True}
        first = Convolution(block.in_channels, half, kernel_size=1, stride=block.stride)
        cheap = Convolution(half, half, kernel_size=block.kernel_size, groups=half, padding=padding)
        self.first, self.cheap = normalised(first, half, **norm), normalised(cheap, half, **norm)

    def forward(self, features):
        first = self.first(features)
        return torch.cat([first, self.cheap(first)], dim=1)


BLOCKS["ghost"] = Ghost
'''
SEARCH = """
space:
  stem_channels: 8
  head_channels: 32
  stages:
  - {op: fused_mbconv, kernel_size: 3, stride: 1, expansion_ratio: 1, channels: 8, layers: 1}
  - {op: [ghost, mbconv], kernel_size: [3, 5], stride: 2, expansion_ratio: 4, channels: 16, layers: [1, 2]}
  reference:
    stem_channels: 8
    head_channels: 32
    stages:
    - {op: fused_mbconv, kernel_size: 3, stride: 1, expansion_ratio: 1, channels: 8, layers: 1}
    - {op: ghost, kernel_size: 3, stride: 2, expansion_ratio: 4, channels: 16, layers: 2}
data: {source: digits, fraction: 0.2}
recipe: {epochs: 1, batch_size: 32, resolution: 16, flip: false, precision: fp32, stochastic_depth: 0.1}
strategy: random_search
reward: {step_time_ratio: -0.07, params: -0.05}
baseline: 2
budget: {trials: 4}
seed: 3
"""
SCRIPT = """
import json
import torch
from nas.search.config import read_search_config
from nas.results.export import exported_row
from nas.search.best_file import architecture_of
from nas.report.page import write_report
from nas.search.search import search
from search_spaces.networks.blocks import BLOCKS
from search_spaces.networks.counting import count
from search_spaces.interchange.files import to_text
from search_spaces.networks.network import build_network
from search_spaces.settings.config_error import ConfigError
from trials.timing import alternating
from trials.executors.in_process import in_process
from trials.training.step import build_step
from trials.timing.step_parts import measure_step_parts
from trials.training.synthetic_batch import SyntheticBatch
from pathlib import Path

alternating.ROUNDS = alternating.EARLIEST_END = 2
config = read_search_config("mine.yaml")
reference, device = config.space.reference, torch.device("cpu")
network = build_network(reference, num_classes=10, stochastic_depth=0.1)
counted = count(reference, num_classes=10, resolution=16).params
steps = [
    build_step(reference, config.recipe, num_classes=10, device=device, precision="fp32") for _ in range(2)
]
batch = SyntheticBatch.random(batch_size=8, resolution=16, num_classes=10, device=device)
parts = measure_step_parts(*steps, batch)
try:
    to_text("timm", reference)
    refused = ""
except ConfigError as error:
    refused = str(error)
result = search(config, Path("run"), execute=in_process(device="cpu"))
row, _ = exported_row(Path("run"), trial=None)
print(json.dumps({
    "classes": [type(block).__name__ for block in network.blocks()],
    "counted": counted, "built": sum(p.numel() for p in network.parameters()),
    "parts": [len(parts.forward), len(parts.backward)],
    "refused": refused,
    "status": sorted({row["status"] for row in result.rows}),
    "ops": sorted({s.op for row in result.rows for s in architecture_of(row).stages}),
    "report": write_report(Path("run")).read_text().count("ghost") > 0,
    "winner": architecture_of(row).architecture_id == row["architecture_id"],
}))
"""


def test_an_op_of_a_new_name_is_built_counted_timed_searched_and_reported(tmp_path: Path) -> None:
    """In a copy of the packages, to which the two lines that the documentation asks for are added."""
    for package in PACKAGES:  # and what is compiled, as far as it is
        shutil.copytree(REPOSITORY / package, tmp_path / package)
    blocks, described = (tmp_path / Path(str(module.__file__)).relative_to(REPOSITORY) for module in EDITED)
    blocks.write_text(blocks.read_text() + GHOST)
    table = "OPS: Mapping[str, OpFacts] = {\n"
    assert table in described.read_text()
    facts = '    "ghost": OpFacts(name="ghost", has_full_convolution=False),\n'
    described.write_text(described.read_text().replace(table, table + facts))
    (tmp_path / "mine.yaml").write_text(SEARCH)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        capture_output=True, text=True, cwd=tmp_path, env=environment, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["classes"] == ["FusedMBConv", "Ghost", "Ghost"]
    assert found["counted"] == found["built"]
    assert found["parts"] == [3, 3]
    assert found["refused"].startswith("timm cannot express this network: ghost: ")
    assert {"completed"} <= set(found["status"]) <= {"completed", "cached"}
    assert "ghost" in found["ops"]
    assert found["report"]
    assert found["winner"]


def test_an_op_has_one_short_name_and_an_own_one_is_called_as_in_its_yaml() -> None:
    names = [op_facts(op).name for op in ("mbconv", "fused_mbconv", "bottleneck", "ghost")]
    assert names == ["MBConv", "Fused", "Bottleneck", "ghost"]
    assert set(OPS) == set(BLOCKS)

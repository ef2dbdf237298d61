"""ResNets of the paper's comparison: blocks, stem, what trains and measures them, where they may stand."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import Nas
from torch import nn

from search_spaces.choices.space import SearchSpace
from search_spaces.networks.architecture import Architecture, Stage
from search_spaces.networks.counting import count, count_module
from search_spaces.networks.dropping import StochasticDepth
from search_spaces.networks.network import build_network
from search_spaces.networks.resnet import Bottleneck
from search_spaces.networks.resolutions import check_resolution
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.yaml_files import from_mapping, parse_yaml, read_yaml, to_mapping, yaml_text
from trials.training.weights_file import load_weights, save_weights

SMALL = Architecture(
    kind="resnet",
    stem_channels=8,
    stages=(
        Stage(op="bottleneck", expansion_ratio=4, channels=16, layers=2),
        Stage(op="bottleneck", stride=2, expansion_ratio=4, channels=32, layers=2),
    ),
    head_channels=32,
)


def test_bottleneck_has_the_right_shapes_gradients_and_strides() -> None:
    torch.manual_seed(0)
    network = build_network(SMALL, num_classes=7)
    images = torch.randn(2, 3, 45, 33)
    assert network.stem(images).shape == (2, 8, 12, 9)  # a quarter, rounded up twice
    assert network.stages(network.stem(images)).shape == (2, 32, 6, 5)
    network(images).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())
    blocks = [module for module in network.modules() if isinstance(module, Bottleneck)]
    strides = [[m.stride[0] for m in b.branch.modules() if isinstance(m, nn.Conv2d)] for b in blocks]
    assert strides == [[1, 1, 1], [1, 1, 1], [1, 2, 1], [1, 1, 1]]  # version 1.5: in the 3x3
    assert [isinstance(b.shortcut, nn.Identity) for b in blocks] == [False, True, False, True]


def test_bottleneck_whose_branch_gives_nothing_passes_its_input_on() -> None:
    network = build_network(SMALL, num_classes=7).eval()
    block = [m for m in network.modules() if isinstance(m, Bottleneck)][1]
    nn.init.zeros_(block.branch[-1].weight)
    features = torch.randn(2, 16, 5, 5)
    assert torch.equal(block(features), features.relu())


def test_drop_rates_of_bottlenecks_grow_as_those_of_other_blocks() -> None:
    network = build_network(SMALL, num_classes=7, stochastic_depth=0.2)
    rates = [m.drop_rate.item() for m in network.modules() if isinstance(m, StochasticDepth)]
    assert rates == pytest.approx([0.2 * i / 4 for i in (1, 2, 3)])


@pytest.mark.parametrize("resolution", [64, 75])
def test_counting_a_resnet_in_parts_equals_counting_the_whole(resolution: int) -> None:
    with torch.device("meta"):
        whole = count_module(build_network(SMALL, num_classes=7), 1, 3, resolution, resolution)
    parts = count(SMALL, num_classes=7, resolution=resolution)
    assert (parts.params, parts.macs, parts.activations) == (whole.params, whole.macs, whole.activations)
    assert parts.stages[0].out_side == math.ceil(math.ceil(resolution / 2) / 2)


def test_resnet_file_reads_back_and_has_an_identity_of_its_own() -> None:
    assert from_mapping(Architecture, parse_yaml(yaml_text(SMALL), name="a"), name="a") == SMALL
    assert SMALL.without_provenance() == SMALL
    deeper = replace(SMALL, stages=(replace(SMALL.stages[0], layers=3), SMALL.stages[1]))
    assert deeper.architecture_id != SMALL.architecture_id
    assert "kind" not in to_mapping(read_yaml(Architecture, "efficientnetv2-s"))
    assert SMALL.total_stride == 8
    with pytest.raises(ValueError, match="use 8 px"):
        check_resolution(SMALL, 7)


@pytest.mark.parametrize(
    "change",
    [{"head_channels": 64}, {"stem_stride": 1}, {"padding": "same"}],
    ids=str,
)
def test_architectures_that_are_no_resnet_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="kind: resnet"):
        from_mapping(Architecture, {**to_mapping(SMALL), **change}, name="net.yaml")


def test_resnets_of_other_blocks_are_refused_and_other_networks_may_have_theirs() -> None:
    other = replace(SMALL.stages[0], op="mbconv")
    with pytest.raises(ValueError, match="basic or bottleneck blocks alone"):
        replace(SMALL, stages=(other, *SMALL.stages[1:]))
    plain = replace(SMALL, kind=None, head_channels=64)
    assert plain.architecture_id != SMALL.architecture_id
    assert [type(block) for block in build_network(plain, num_classes=7).blocks()] == [Bottleneck] * 4


def test_a_space_offers_bottlenecks_whose_inner_widths_are_whole() -> None:
    mapping = to_mapping(read_yaml(SearchSpace, "tiny"))
    mapping["stages"][0] |= {"op": ["bottleneck"], "expansion_ratio": [1, 4], "se_ratio": 0}
    space = from_mapping(SearchSpace, mapping, name="space.yaml")
    assert space.decode(space.largest()).stages[0].op == "bottleneck"
    mapping["stages"][0]["expansion_ratio"] = [1, 7]
    with pytest.raises(ConfigError, match=r"stages\[0\].channels: .* no multiple of its expansion_ratio 7"):
        from_mapping(SearchSpace, mapping, name="space.yaml")


def test_weights_of_a_resnet_read_back_with_the_same_outputs(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = build_network(SMALL, num_classes=7).eval()
    path = tmp_path / "weights.safetensors"
    save_weights(path, network, SMALL, num_classes=7, classes=list("abcdefg"), resolution=32, epoch=1)
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(load_weights(path).network().eval()(images), network(images))


def test_describe_and_scale_commands_know_resnets(nas: Nas) -> None:
    code, out, err = nas("describe", "resnet50", "--json")
    assert code == 0, err
    assert json.loads(out)["params"] == 25_557_032
    code, out, _ = nas("describe", "resnet152")
    assert code == 0
    assert "60,192,808 parameters" in out
    assert "bottleneck" in out
    code, _, err = nas("scale", "resnet50", "--phi", "1")
    assert code == 2
    assert "compound scaling" in err


def test_a_resnet_trains_progressively_and_is_measured(
    nas: Nas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nas.measuring.measure.MAX_SECONDS", 0.1)
    monkeypatch.setattr("nas.measuring.measure.INFERENCE_BATCHES", (1,))
    (tmp_path / "small.yaml").write_text(yaml_text(SMALL))
    code, out, err = nas(
        "train", "small.yaml", "--data", "digits", "--run", "trained", "--json",
        "--set", "recipe.epochs=2", "--set", "recipe.num_training_stages=2",
        "--set", "recipe.resolution={start: 16, end: 24}", "--set", "recipe.precision=fp32",
        "--set", "data.fraction=0.15", "--set", "recipe.warmup_epochs=0.5",
    )  # fmt: skip
    assert code == 0, err
    assert json.loads(out)["accuracy"] > 0
    code, out, err = nas(
        "measure", "small.yaml", "--resolution", "16", "--batch-size", "8", "--precision", "fp32", "--json",
    )  # fmt: skip
    assert code == 0, err
    (measured,) = json.loads(out)["networks"]
    assert measured["step_seconds"] > 0
    if Path("/proc/self/clear_refs").exists():  # only Linux tells
        assert measured["peak_memory_bytes"] > 0

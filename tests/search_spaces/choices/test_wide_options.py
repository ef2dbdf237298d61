"""Random members of a space of all kernels, expansions and activations: counts, identities, modules."""

import math
from collections import defaultdict
from typing import Any, get_args

import numpy as np
import pytest
import torch
from small_spaces import REFERENCE
from torch import nn

from search_spaces.choices.space import SearchSpace
from search_spaces.networks.architecture import Architecture, Stage
from search_spaces.networks.counting import count
from search_spaces.networks.network import build_network
from search_spaces.networks.stage_fields import KERNEL_SIZES, Activation
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.yaml_files import from_mapping, parse_yaml, yaml_text

MEMBERS, CLASSES, SIDE = 500, 7, 33
OPTIONS: dict[str, Any] = {
    "op": ["mbconv", "fused_mbconv"],
    "kernel_size": list(KERNEL_SIZES),
    "expansion_ratio": [0.25, 0.3, 0.5, 1, 1.05, 2.25, 3.5, 4.0, 6],
    "channels": [4, 6, 10],
    "layers": [0, 1, 2],
    "se_ratio": [0, 0.25, 0.3],
    "activation": list(get_args(Activation)),
}
STAGES = [OPTIONS, {**OPTIONS, "stride": 2, "layers": [1, 2]}, {**OPTIONS, "activation": "gelu"}, OPTIONS]
CLASS_OF = {
    "silu": nn.SiLU, "relu": nn.ReLU, "relu6": nn.ReLU6, "hard_swish": nn.Hardswish, "gelu": nn.GELU,
}  # fmt: skip


def space_of(*stages: dict[str, Any], **others: Any) -> SearchSpace:
    mapping = {
        "stem_channels": 6,
        "head_channels": 8,
        "stages": list(stages),
        "reference": REFERENCE,
        **others,
    }
    return from_mapping(SearchSpace, mapping, name="space.yaml")


@pytest.fixture(scope="module")
def wide() -> SearchSpace:
    return space_of(*STAGES, activation="relu6")


@pytest.fixture(scope="module")
def members(wide: SearchSpace) -> list[tuple[int, ...]]:
    """Random choices, and beside every second one others that differ in one decision."""
    rng, found = np.random.default_rng(3), []
    while len(found) < MEMBERS:
        choices = [int(rng.integers(options)) for options in wide.num_options]
        found.append(tuple(choices))
        at = int(rng.integers(len(choices)))
        choices[at] = int(rng.integers(wide.num_options[at]))
        found.append(tuple(choices))
    return found


def blocks_of(wide: SearchSpace, choices: tuple[int, ...]) -> list[tuple[Any, ...]]:
    """(op, kernel, stride, in, inner, squeezed, out, activation) of each block, from the options alone."""
    chosen: list[dict[str, Any]] = [{} for _ in STAGES]
    for decision, choice in zip(wide.decisions, choices, strict=True):
        chosen[decision.stage][decision.field] = decision.options[choice]
    found, channels = [], 6
    for row, offered in zip(chosen, STAGES, strict=True):
        for layer in range(row["layers"]):
            found.append((
                row["op"],
                row["kernel_size"],
                offered.get("stride", 1) if layer == 0 else 1,
                channels,
                max(1, math.floor(channels * row["expansion_ratio"] + 0.5)),
                max(1, math.floor(channels * row["se_ratio"])) if row["se_ratio"] else 0,
                row["channels"],
                row.get("activation", "gelu"),
            ))  # fmt: skip
            channels = row["channels"]
    return found


def counted(blocks: list[tuple[Any, ...]]) -> tuple[int, int]:
    """Parameters and MACs, by the sizes of the convolutions of each block."""
    params = macs = 0

    def convolution(before: int, after: int, kernel: int, side: int) -> None:
        nonlocal params, macs
        params += before * after * kernel**2 + 2 * after  # and its batch norm
        macs += before * after * kernel**2 * side**2

    side = math.ceil(SIDE / 2)
    convolution(3, 6, 3, side)
    last = 6
    for op, kernel, stride, before, inner, squeezed, last, _ in blocks:
        after = math.ceil(side / stride)
        one = op == "fused_mbconv" and inner == before
        if op == "mbconv" and inner != before:
            convolution(before, inner, 1, side)
        if op == "mbconv":
            convolution(1, inner, kernel, after)
        else:
            convolution(before, last if one else inner, kernel, after)
        if squeezed:
            params += 2 * inner * squeezed + squeezed + inner
            macs += 2 * inner * squeezed
        if not one:
            convolution(inner, last, 1, after)
        side = after
    convolution(last, 8, 1, side)
    return params + 8 * CLASSES + CLASSES, macs + 8 * CLASSES


def test_members_have_the_counts_of_their_convolutions(
    wide: SearchSpace, members: list[tuple[int, ...]]
) -> None:
    for choices in members:
        counts = count(wide.decode(choices), num_classes=CLASSES, resolution=SIDE)
        assert (counts.params, counts.macs) == counted(blocks_of(wide, choices)), choices


def test_members_are_equal_if_and_only_if_their_blocks_are(
    wide: SearchSpace, members: list[tuple[int, ...]]
) -> None:
    """By identity and by canonical choices, which build the same network."""
    networks = defaultdict(set)
    for choices in members:
        canonical = wide.canonical(choices)
        architecture = wide.decode(choices)
        assert wide.decode(canonical).architecture_id == architecture.architecture_id
        assert wide.encode(architecture) == canonical <= choices
        networks[tuple(blocks_of(wide, choices))].add((architecture.architecture_id, canonical))
    assert all(len(names) == 1 for names in networks.values())
    assert len(set.union(*networks.values())) == len(networks)
    assert len(networks) < len(set(members))  # some are equal


def test_members_are_built_as_described_and_written_so(
    wide: SearchSpace, members: list[tuple[int, ...]]
) -> None:
    for choices in members[::50]:
        architecture, blocks = wide.decode(choices), blocks_of(wide, choices)
        with torch.device("meta"):
            network = build_network(architecture, num_classes=CLASSES)
        assert sum(p.numel() for p in network.parameters()) == counted(blocks)[0]
        for module, block in zip(network.blocks(), blocks, strict=True):
            kinds = {type(part) for part in module.modules()} & set(CLASS_OF.values())
            assert kinds == {CLASS_OF[block[-1]]}
        assert type(network.stem[2]) is type(network.head[2]) is nn.ReLU6  # type: ignore[index]
        text = yaml_text(architecture)
        assert from_mapping(Architecture, parse_yaml(text, name="a"), name="a") == architecture


def test_members_train(wide: SearchSpace, members: list[tuple[int, ...]]) -> None:
    for choices in members[:8]:
        torch.manual_seed(0)
        network = build_network(wide.decode(choices), num_classes=CLASSES)
        network(torch.randn(2, 3, 9, 9)).square().sum().backward()
        gradients = [parameter.grad for parameter in network.parameters()]
        assert all(grad is not None and grad.isfinite().all() for grad in gradients)


# ---------------------------------------------------------------------- one field each


def test_whole_ratios_are_the_same_however_they_are_written() -> None:
    stage = {"op": "mbconv", "kernel_size": 3, "channels": 8, "layers": 1}
    one, other = (Stage(**stage, expansion_ratio=ratio) for ratio in (4, 4.0))  # type: ignore[arg-type]
    assert one == other
    assert repr(one.expansion_ratio) == repr(other.expansion_ratio) == "4"
    space = space_of({**stage, "expansion_ratio": [4.0, 3.5]})
    assert "expansion_ratio: [4, 3.5]" in yaml_text(space)
    assert space.size == space.distinct_size == 2


def test_ratios_that_round_to_one_width_are_one_network() -> None:
    stage = {"op": "mbconv", "kernel_size": 3, "channels": 8, "layers": 1, "expansion_ratio": [4, 4.05, 4.2]}
    space = space_of(stage)  # of 6 channels: 24, 24 and 25
    assert (space.size, space.distinct_size) == (3, 2)
    assert [space.canonical((i,)) for i in range(3)] == [(0,), (0,), (2,)]


def test_a_stage_that_does_not_say_has_the_activation_of_stem_and_head() -> None:
    row = {"op": "mbconv", "kernel_size": 3, "expansion_ratio": 2, "channels": 8, "layers": 1}
    ends = {"stem_channels": 6, "head_channels": 8}

    def network(*rows: dict[str, Any], **others: Any) -> Architecture:
        return from_mapping(Architecture, {**ends, "stages": list(rows), **others}, name="a")

    silu, said = {**row, "activation": "silu"}, {**row, "activation": "relu"}
    assert network(row, said, activation="relu") == network(said, row, activation="relu")
    assert network(row) == network(silu) == network(silu, activation="silu")
    assert "activation" not in yaml_text(network(silu))
    identities = [
        network(*rows, **others).architecture_id
        for rows in ((row,), (silu,), (said,))
        for others in ({}, {"activation": "relu"}, {"activation": "gelu"})
    ]
    # Without a word: silu, relu, gelu; then silu in relu and gelu, relu in silu and gelu.
    assert len(set(identities)) == 7
    assert space_of({**row, "activation": ["relu"]}, activation="relu") == space_of(row, activation="relu")
    assert space_of({**row, "activation": "silu"}) == space_of(row)


@pytest.mark.parametrize(
    ("stage", "words"),
    [
        ({"kernel_size": 2}, "kernel_size: 2 is not one of 1, 3, 5, 7, 9, 11"),
        ({"kernel_size": [3, 13]}, "kernel_size[1]: 13 is not one of 1, 3, 5, 7, 9, 11"),
        ({"kernel_size": 0}, "kernel_size: 0 is not one of 1, 3, 5, 7, 9, 11"),
        ({"expansion_ratio": 0.2}, "expansion_ratio: 0.2 is out of range; it must be at least 0.25"),
        ({"expansion_ratio": [4, 65]}, "expansion_ratio[1]: 65 is out of range; it must be at most 64"),
        ({"expansion_ratio": [4, 4.0]}, "expansion_ratio: an option stands twice in [4, 4]; give each once"),
        ({"activation": "swish"}, "activation: 'swish' is not one of gelu, hard_swish, relu, relu6, silu"),
        ({"activation": ["relu", "relu"]}, "activation: an option stands twice in ['relu', 'relu']"),
    ],
)
def test_options_that_no_stage_has_are_refused_by_place(stage: dict[str, Any], words: str) -> None:
    row = {"op": "mbconv", "kernel_size": 3, "expansion_ratio": 4, "channels": 8, "layers": 1, **stage}
    with pytest.raises(ConfigError) as caught:
        space_of(row)
    assert f"space.yaml: stages[0].{words}" in str(caught.value)

"""The distance of two architectures: zero for the same network, more where more would have to change."""

from dataclasses import replace
from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inheriting import CLASSES, around

from search_spaces.choices.space import SearchSpace
from search_spaces.inheritance.block_maps import DROPPED
from search_spaces.inheritance.distance import distance, end_difference
from search_spaces.inheritance.matching import channels_before
from search_spaces.inheritance.weight_maps import weight_map
from search_spaces.networks.architecture import Architecture, Stage
from search_spaces.settings.yaml_files import read_yaml

PARENT = around("inverted")


def test_same_network_has_no_distance() -> None:
    assert distance(PARENT, replace(PARENT, provenance={"source": "a file"})) == 0
    # Blocks of one stage, or of two of which the second continues the first.
    stage = Stage(op="mbconv", expansion_ratio=4, channels=8, layers=3, se_ratio=0.25)
    whole = replace(PARENT, stages=(stage,))
    parted = replace(PARENT, stages=(replace(stage, layers=1), replace(stage, layers=2)))
    assert whole.architecture_id == parted.architecture_id
    assert distance(whole, parted) == distance(parted, whole) == 0
    weights = weight_map(whole, parted, num_classes=CLASSES)
    assert [placed.source for placed in weights.blocks] == ["stages.0.0", "stages.0.1", "stages.0.2"]
    assert {tensor.how for tensor in weights.tensors} == {"copied"}


@pytest.mark.parametrize(
    ("nearer", "farther"),
    [
        (around("inverted", kernel_size=5), around("inverted", kernel_size=5, layers=3)),
        (around("inverted", layers=3), around("inverted", layers=4)),
        (around("inverted", expansion_ratio=6), around("inverted", expansion_ratio=8)),
        (around("inverted", se_ratio=0.5), around("fused")),
        (around("fused"), around("convolution")),
        (around("inverted", layers=1), around("inverted", layers=1, stride=1)),
        (around("inverted", se_ratio=0), around("inverted", channels=8)),
    ],
)
def test_more_changes_are_farther(nearer: Architecture, farther: Architecture) -> None:
    assert 0 < distance(PARENT, nearer) < distance(PARENT, farther) < 1


def test_cropping_is_farther_than_padding() -> None:
    larger = around("inverted", kernel_size=5)
    assert distance(PARENT, larger) < distance(larger, PARENT)


def test_networks_of_two_kinds_have_nothing_in_common() -> None:
    assert distance(PARENT, read_yaml(Architecture, "resnet50")) == 1


def test_own_ops_that_differ_are_as_fresh_ones() -> None:
    child = around("inverted", kernel_size=5)
    assert distance(PARENT, child, own_ops=frozenset({"mbconv"})) > distance(PARENT, child)


@given(st.integers(0, 10_000), st.sampled_from(["tiny", "cifar", "wide"]))
@settings(max_examples=30, deadline=None)
def test_distance_is_that_of_the_map(seed: int, name: str) -> None:
    rng, space = np.random.default_rng(seed), read_yaml(SearchSpace, name)
    parent, child = (
        space.decode([int(rng.integers(options)) for options in space.num_options]) for _ in range(2)
    )
    weights = weight_map(parent, child, num_classes=CLASSES)
    ends = end_difference(
        *((each.stem_channels, each.head_channels, [*channels_before(each)][-1]) for each in (parent, child)),
        other_grid=False,
    )
    maps = [placed.map for placed in weights.blocks]
    new = sum(each.new_params for each in maps) + ends.new_params
    params = sum(each.params for each in maps) + ends.params
    kept = prod(each.kept for each in maps) * ends.kept * (1 - DROPPED) ** len(weights.dropped)
    expected = (new / params + 1 - kept) / 2
    assert weights.distance == distance(parent, child) == pytest.approx(expected)
    assert 0 <= expected <= 1
    assert (kept == 1) == weights.is_exact

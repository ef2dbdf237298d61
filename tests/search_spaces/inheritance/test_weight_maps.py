"""Weights of one architecture for another: exact changes keep the function, others most of it."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from inheriting import (
    CLASSES,
    around,
    begun,
    correlation,
    difference,
    fresh,
    outputs,
    settled,
    transferred,
)

from search_spaces.choices.space import SearchSpace
from search_spaces.inheritance.distance import distance
from search_spaces.inheritance.weight_maps import described_shapes, weight_map
from search_spaces.networks.architecture import Architecture
from search_spaces.networks.network import Network, build_network
from search_spaces.settings.yaml_files import read_yaml
from trials.training.weights_file import floating_tensors

SPACES = ("tiny", "cifar", "small", "photos", "paper", "wide")
SAME, RELU = {"padding": "same"}, {"activation": "relu"}

EXACT: dict[str, tuple[Architecture, Architecture]] = {
    "layers": (around("inverted"), around("inverted", layers=4)),
    "layers of convolutions": (around("convolution"), around("convolution", layers=3)),
    "layers of fused": (around("fused"), around("fused", layers=3)),
    "layers of depthwise": (around("depthwise"), around("depthwise", layers=3)),
    "kernel": (around("inverted"), around("inverted", kernel_size=5)),
    "kernel of fused": (around("fused"), around("fused", kernel_size=5)),
    "kernel of depthwise, padding same": (
        around("depthwise", ends=SAME),
        around("depthwise", kernel_size=5, ends=SAME),
    ),
    "kernel of 7": (around("inverted"), around("inverted", kernel_size=7)),
    "kernel from 1 to 11": (around("inverted", kernel_size=1), around("inverted", kernel_size=11)),
    "kernel of fused from 1 to 7, relu": (
        around("fused", kernel_size=1, ends=RELU),
        around("fused", kernel_size=7, ends=RELU),
    ),
    "fractional expansion": (
        around("inverted", expansion_ratio=1.3),
        around("inverted", expansion_ratio=3.55),
    ),
    "full convolution, relu6": (
        around("depthwise", se_ratio=0, activation="relu6"),
        around("fused", activation="relu6"),
    ),
    "expansion from 1, gelu": (
        around("convolution", activation="gelu"),
        around("fused", activation="gelu"),
    ),
    "expansion": (around("inverted"), around("inverted", expansion_ratio=6)),
    "expansion of fused": (around("fused"), around("fused", expansion_ratio=6)),
    "expansion from 1": (around("convolution"), around("fused")),
    "full convolution": (around("depthwise", se_ratio=0), around("fused")),
    "full convolution with squeeze-excite": (around("depthwise"), around("fused", se_ratio=0.5)),
    "channels": (around("inverted"), around("inverted", channels=24)),
    "channels of fused": (around("fused"), around("fused", channels=20)),
    "channels of convolutions": (around("convolution"), around("convolution", channels=20)),
    "squeeze-excite": (around("inverted", se_ratio=0), around("inverted")),
    "squeeze-excite of fused": (around("fused"), around("fused", se_ratio=0.25)),
    "squeeze-excite of convolutions": (around("convolution"), around("convolution", se_ratio=0.25)),
    "squeeze-excite of expansion from 1": (around("convolution"), around("fused", se_ratio=0.25)),
    "wider squeeze-excite": (around("inverted"), around("inverted", se_ratio=0.5)),
    "head": (around("inverted"), around("inverted", ends={"head_channels": 40})),
    "stem and what follows": (
        around("inverted", ends={"stem_channels": 8}),
        replace(
            (wide := around("inverted", ends={"stem_channels": 12})),
            stages=(replace(wide.stages[0], channels=12), *wide.stages[1:]),
        ),
    ),
    "all at once": (
        around("inverted", ends=SAME),
        around(
            "inverted", kernel_size=5, expansion_ratio=6, channels=20, layers=3, se_ratio=0.5,
            ends={"head_channels": 40, **SAME},
        ),
    ),
}  # fmt: skip
NEARLY: dict[str, tuple[Architecture, Architecture]] = {
    "fewer layers": (around("inverted", layers=3), around("inverted")),
    "smaller kernel": (around("inverted", kernel_size=5), around("inverted")),
    "a kernel of 3 from 7": (around("inverted", kernel_size=7), around("inverted", kernel_size=3)),
    "smaller fractional expansion": (
        around("inverted", expansion_ratio=3.5),
        around("inverted", expansion_ratio=2.25),
    ),
    "another activation": (around("inverted"), around("inverted", activation="hard_swish")),
    "another activation of all but one stage": (
        around("inverted", activation="silu", ends=RELU),
        around("inverted"),
    ),
    "smaller expansion": (around("inverted", expansion_ratio=6), around("inverted")),
    "fewer channels": (around("fused"), around("fused", channels=8)),
    "no squeeze-excite": (around("inverted"), around("inverted", se_ratio=0)),
    "narrower head": (around("inverted"), around("inverted", ends={"head_channels": 24})),
    "MBConv to fused": (around("inverted"), around("fused")),
    "depthwise to fused, gates gone": (around("depthwise"), around("fused")),
}
each_exact = pytest.mark.parametrize(("parent", "child"), EXACT.values(), ids=EXACT)
each_near = pytest.mark.parametrize(("parent", "child"), NEARLY.values(), ids=NEARLY)


@each_exact
def test_exact_changes_keep_the_outputs(parent: Architecture, child: Architecture) -> None:
    source, network, weights = begun(parent, child)
    assert weights.is_exact
    assert weights.changes
    assert difference(outputs(source), outputs(network)) < 1e-5
    # In training as well, but for the batch norm that has been set for evaluation.
    identity = "expansion 1" in " ".join(weights.changes) and parent.stages[1].op == "fused_mbconv"
    moved = difference(outputs(source, training=True), outputs(network, training=True))
    assert (1e-5 < moved < 0.2) if identity else moved < 1e-5


@pytest.mark.parametrize("layout", ["depthwise", "inverted", "convolution", "fused"])
@pytest.mark.parametrize("padding", ["symmetric", "same"])
@pytest.mark.parametrize("stride", [1, 2])
def test_a_kernel_of_1_that_grows_is_exact_only_where_it_stays_on_its_pixels(
    layout: str, padding: str, stride: int
) -> None:
    # On images of even side, and where only the kernel changes.
    parent, child = (
        around(layout, kernel_size=size, stride=stride, layers=1, ends={"stem_stride": 1, "padding": padding})
        for size in (1, 3)
    )
    source, network, weights = begun(parent, child)
    even = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        moved = difference(source(even), network(even))
    assert weights.is_exact == (moved < 1e-5) == ((padding, stride) != ("same", 2))
    symmetric = (replace(each, padding="symmetric") for each in (parent, child))
    assert (distance(parent, child) > distance(*symmetric)) == (not weights.is_exact)


@each_near
def test_other_changes_keep_most_of_the_function(parent: Architecture, child: Architecture) -> None:
    source, network, weights = begun(parent, child)
    assert not weights.is_exact
    # In training mode, because statistics are not those of the changed features.
    expected, found, chance = (
        outputs(each, training=True) for each in (source, network, fresh(child, seed=2))
    )
    assert correlation(expected, found) > correlation(expected, chance) + 0.15


LAYOUT_PAIRS = [
    (old, new)
    for old in ("depthwise", "inverted", "convolution", "fused")
    for new in ("depthwise", "inverted", "convolution", "fused")
    if old != new
]


@pytest.mark.parametrize("activation", ["silu", "relu"])
@pytest.mark.parametrize(("old", "new"), LAYOUT_PAIRS)
def test_each_layout_becomes_each_other_one(old: str, new: str, activation: str) -> None:
    # Filters of little rank and little curvature, as conversions assume them.
    parent, child = (around(layout, layers=1, se_ratio=0, activation=activation) for layout in (old, new))
    source = _smooth(parent)
    network, _ = transferred(source, weight_map(parent, child, num_classes=CLASSES))
    expected, found, chance = (
        outputs(each, training=True) for each in (source, network, fresh(child, seed=2))
    )
    assert correlation(expected, found) > correlation(expected, chance) + 0.15


@cache
def _smooth(architecture: Architecture) -> Network:
    """A network whose second stage has filters near to constant ones. Not to be changed."""
    network = fresh(architecture, seed=1)
    network.load_state_dict(settled(architecture).state_dict())
    state = network.state_dict()
    for name, tensor in state.items():
        if name.startswith("stages.1") and tensor.dim() == 4 and tensor.shape[2] > 1:
            mean = tensor.mean((2, 3), keepdim=True)
            tensor.copy_(mean * 3 + 0.2 * (tensor - mean))
    network.train()
    with torch.no_grad():
        for _ in range(50):
            network(torch.randn(16, 3, 17, 17))
    return network.eval()


@pytest.mark.parametrize(("old", "new"), LAYOUT_PAIRS)
def test_filters_that_sum_to_nothing_are_converted_all_the_same(old: str, new: str) -> None:
    # Of such filters running means say nothing about the means of the features.
    parent, child = around(old, se_ratio=0), around(new, se_ratio=0)
    source = fresh(parent, seed=1)
    source.load_state_dict(settled(parent).state_dict())
    for name, tensor in source.state_dict().items():
        if name.startswith("stages.1") and tensor.dim() == 4 and tensor.shape[2] > 1:
            tensor.sub_(tensor.mean((2, 3), keepdim=True) * (1 - 1e-4))
    network, _ = transferred(source, weight_map(parent, child, num_classes=CLASSES))
    assert all(torch.isfinite(tensor).all() for tensor in floating_tensors(network).values())
    assert outputs(network, training=True).abs().max() < 100 * outputs(source, training=True).abs().max()
    assert network.state_dict()["stages.1.0." + _spatial(new)].abs().max() < 1e3


def _spatial(layout: str) -> str:
    """The spatial convolution of a layout."""
    names = {"fused": "branch.0.0.weight", "convolution": "branch.1.0.weight"}
    return names.get(layout, "depthwise.0.weight")


@pytest.mark.parametrize("layout", ["depthwise", "inverted", "convolution", "fused"])
def test_map_to_the_same_network_copies_to_the_bit(layout: str) -> None:
    source, network, weights = begun(around(layout), around(layout))
    assert weights.is_exact
    assert weights.distance == 0
    assert weights.changes == ()
    assert {tensor.how for tensor in weights.tensors} == {"copied"}
    for name, tensor in floating_tensors(source).items():
        assert torch.equal(tensor, floating_tensors(network)[name]), name


@pytest.mark.parametrize(
    "change",
    [{"layers": 3}, {"kernel_size": 5}, {"expansion_ratio": 6}, {"channels": 24}, {"se_ratio": 0.5}],
    ids=str,
)
def test_way_there_and_back_returns_the_function(change: dict[str, Any]) -> None:
    parent, child = around("inverted"), around("inverted", **change)
    source, network, _ = begun(parent, child)
    returned, _ = transferred(network, weight_map(child, parent, num_classes=CLASSES), seed=7)
    assert difference(outputs(source), outputs(returned)) < 1e-5


def test_narrower_hidden_layer_keeps_its_most_important_channels() -> None:
    parent, child = (around("inverted", layers=1, se_ratio=0, expansion_ratio=e) for e in (4, 2))
    source = fresh(parent, seed=1)
    with torch.no_grad():  # only the last half of the hidden channels is read
        source.state_dict()["stages.1.0.project.0.weight"][:, :16] = 0
    network, _ = transferred(source, weight_map(parent, child, num_classes=CLASSES))
    assert difference(outputs(source), outputs(network)) < 1e-5


def test_new_channels_are_fresh_and_nothing_reads_them_yet() -> None:
    parent, child = around("inverted"), around("inverted", expansion_ratio=6)
    network, own = transferred(settled(parent), weight_map(parent, child, num_classes=CLASSES))
    state, block = network.state_dict(), "stages.1.0"
    for layer in ("expand", "depthwise"):
        assert torch.equal(state[f"{block}.{layer}.0.weight"][32:], own[f"{block}.{layer}.0.weight"][32:])
        known = state[f"{block}.{layer}.1.running_var"]
        assert torch.allclose(known[32:], known[:32].mean())
    assert not state[f"{block}.project.0.weight"][:, 32:].any()


def test_other_classes_have_a_new_classifier() -> None:
    weights = weight_map(around("fused"), around("fused"), num_classes=4, parent_classes=CLASSES)
    network, own = transferred(settled(around("fused")), weights)
    assert "new classifier, not exact" in weights.changes
    assert torch.equal(network.state_dict()["classifier.weight"], own["classifier.weight"])
    assert torch.equal(
        network.state_dict()["stem.0.weight"], settled(around("fused")).state_dict()["stem.0.weight"]
    )


def test_changes_are_told_by_stage() -> None:
    child = around("fused", kernel_size=5, layers=3, ends={"head_channels": 40})
    assert weight_map(around("inverted"), child, num_classes=CLASSES).changes == (
        "head 32 → 40",
        "stage 2: MBConv → Fused, not exact (2 blocks)",
        "stage 2: kernel 3 → 5 (2 blocks)",
        "stage 2: squeeze-excite removed, not exact (2 blocks)",
        "stage 2: new, as identity",
    )
    assert weight_map(around("inverted"), around("inverted", layers=1), num_classes=CLASSES).changes == (
        "stage 2: dropped, not exact",
    )


# ---------------------------------------------------------------------- any two members of a space


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Architecture, Architecture]:
    """Two random members of a shipped space, or of two."""
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    space = read_yaml(SearchSpace, draw(st.sampled_from(SPACES)))
    other = read_yaml(SearchSpace, draw(st.sampled_from(SPACES))) if draw(st.booleans()) else space
    return tuple(
        each.decode([int(rng.integers(options)) for options in each.num_options]) for each in (space, other)
    )  # type: ignore[return-value]


@given(pairs())
@settings(max_examples=6, deadline=None)
def test_map_covers_every_tensor_once_in_its_shape(pair: tuple[Architecture, Architecture]) -> None:
    parent, child = pair
    weights = weight_map(parent, child, num_classes=CLASSES)
    names = [tensor.name for tensor in weights.tensors]
    assert len(names) == len(set(names))
    with torch.device("meta"):
        networks = [build_network(each, num_classes=CLASSES) for each in pair]
    theirs, own = (
        {name: tuple(tensor.shape) for name, tensor in floating_tensors(network).items()}
        for network in networks
    )
    assert (
        {tensor.name: tensor.shape for tensor in weights.tensors} == own == described_shapes(child, CLASSES)
    )
    assert {source for tensor in weights.tensors for source in tensor.sources} <= theirs.keys()
    for tensor in weights.tensors:
        assert (tensor.how == "new") == (not tensor.sources)
        if tensor.how == "copied":
            assert theirs[tensor.sources[0]] == tensor.shape


TINY = read_yaml(SearchSpace, "tiny")


@given(st.integers(0, 100_000))
@example(20_033)  # a filter of a sum near zero
@settings(max_examples=12, deadline=None)
def test_whatever_is_said_to_be_exact_is(seed: int) -> None:
    rng = np.random.default_rng(seed)
    choices = TINY.choice_space().sample(rng)
    parent = TINY.decode(choices)
    # Two random decisions take another option.
    other = list(choices)
    for i in rng.choice(len(choices), 2, replace=False):
        other[i] = int(rng.integers(TINY.num_options[i]))
    source, network, weights = begun(parent, TINY.decode(other))
    moved = difference(outputs(source), outputs(network))
    assert weights.is_exact == (moved < 1e-5), weights.changes
    assert torch.isfinite(outputs(network, training=True)).all()


@pytest.mark.parametrize(("old", "new"), [("tiny", "small"), ("small", "tiny"), ("tiny", "cifar")])
def test_networks_of_two_spaces_have_what_they_share(old: str, new: str) -> None:
    parent, child = (read_yaml(SearchSpace, name).reference for name in (old, new))
    source, network, weights = begun(parent, child)
    assert not weights.is_exact
    assert any(tensor.how != "new" for tensor in weights.tensors)
    assert torch.isfinite(outputs(network, training=True)).all()
    found, known = floating_tensors(network), floating_tensors(source)
    for tensor in weights.tensors:
        if tensor.how == "copied":
            assert torch.equal(found[tensor.name], known[tensor.sources[0]])


# ---------------------------------------------------------------------- what does not fit

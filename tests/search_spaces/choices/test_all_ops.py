"""Spaces of all ops: members, their counts by hand, rows that build the same, what is refused."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from search_spaces.choices.duplicates import count_distinct
from search_spaces.choices.space import SearchSpace
from search_spaces.networks.architecture import Architecture, Stage
from search_spaces.networks.counting import count, on_meta
from search_spaces.networks.network import build_network
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.yaml_files import from_mapping, parse_yaml, to_mapping, yaml_text

OPS = ["mbconv", "fused_mbconv", "uib", "convnext", "basic", "conv"]
STAGE = {
    "op": OPS, "kernel_size": [0, 1, 3], "expansion_ratio": [1, 4], "channels": [8, 16],
    "layers": [1, 2], "start_kernel_size": [0, 3],
}  # fmt: skip
REFERENCE = {
    "stem_channels": 8, "stem_stride": 1, "head_channels": 16,
    "stages": [{"op": "uib", "expansion_ratio": 2, "channels": 8, "layers": 1}],
}  # fmt: skip


def space_of(*stages: dict[str, Any], **fields: Any) -> SearchSpace:
    mapping = {**REFERENCE, "stages": [{**STAGE, **stage} for stage in stages], "reference": REFERENCE}
    return from_mapping(SearchSpace, {**mapping, **fields}, name="space.yaml")


def three_stages(**fields: Any) -> SearchSpace:
    return space_of({}, {"stride": 2, "layers": [1, 3]}, {"layers": [0, 1], "stride": 1}, **fields)


# ---------------------------------------------------------------------- counts by hand


def convolution(inputs: int, outputs: int, kernel: int, side: int, groups: int = 1) -> tuple[int, int]:
    """Parameters and MACs of a convolution without a bias whose output has this side."""
    weights = inputs // groups * outputs * kernel * kernel
    return weights, weights * side * side


def added(*parts: tuple[int, int]) -> tuple[int, int]:
    return sum(part[0] for part in parts), sum(part[1] for part in parts)


def block_by_hand(stage: Stage, inputs: int, side: int, stride: int) -> tuple[int, int]:
    """Parameters and MACs of one block, from the papers' descriptions."""
    outputs, kernel, small = stage.channels, stage.kernel_size, math.ceil(side / stride)
    width = round(inputs * stage.expansion_ratio)
    norm = {channels: (2 * channels, 0) for channels in (inputs, outputs, width)}  # weight and bias
    if stage.op == "conv":
        return added(convolution(inputs, outputs, kernel, small), norm[outputs])
    if stage.op == "basic":
        parts = [convolution(inputs, outputs, kernel, small), convolution(outputs, outputs, kernel, small)]
        if stride == 2 or inputs != outputs:
            parts += [convolution(inputs, outputs, 1, small), norm[outputs]]
        return added(*parts, norm[outputs], norm[outputs])
    if stage.op == "convnext":
        width, parts = round(outputs * stage.expansion_ratio), []
        if stride == 2 or inputs != outputs:
            parts = [norm[inputs], convolution(inputs, outputs, stride, small), (outputs, 0)]
        parts += [convolution(outputs, outputs, kernel, small, outputs), (outputs, 0), norm[outputs]]
        parts += [convolution(outputs, width, 1, small), (width, 0)]
        return added(*parts, convolution(width, outputs, 1, small), (outputs, 0), (outputs, 0))
    if stage.op == "uib" and not kernel and not stage.start_kernel_size:
        kernel = 1  # the feed-forward network, which at expansion 1 is one convolution
    if stage.op == "fused_mbconv" or (
        stage.op == "uib" and not stage.start_kernel_size and not stage.kernel_size
    ):
        if width == inputs:
            return added(convolution(inputs, outputs, kernel, small), norm[outputs])
        parts = [convolution(inputs, width, kernel, small), norm[width]]
        return added(*parts, convolution(width, outputs, 1, small), norm[outputs])
    parts, middle = [], side
    if stage.op == "uib" and stage.start_kernel_size:
        middle = side if kernel else small
        parts = [convolution(inputs, inputs, stage.start_kernel_size, middle, inputs), norm[inputs]]
    if width != inputs or parts:
        parts += [convolution(inputs, width, 1, middle), norm[width]]
    if kernel:
        parts += [convolution(width, width, kernel, small, width), norm[width]]
    if stage.op == "mbconv":
        squeezed = max(1, inputs // 4)
        parts += [(2 * width * squeezed + width + squeezed, 2 * width * squeezed)]
    return added(*parts, convolution(width, outputs, 1, small), norm[outputs])


def stage_by_hand(stage: Stage, inputs: int, side: int) -> tuple[int, int]:
    blocks = []
    for i in range(stage.layers):
        stride = stage.stride if i == 0 else 1
        blocks.append(block_by_hand(stage, inputs, side, stride))
        inputs, side = stage.channels, math.ceil(side / stride)
    return added(*blocks)


def test_300_members_are_built_counted_trained_and_known() -> None:
    space, rng = three_stages(), np.random.default_rng(4)
    drawn = [space.choice_space().sample(rng) for _ in range(300)]
    built: dict[str, str] = {}
    for i, choices in enumerate(drawn):
        architecture = space.decode(choices)
        counts = count(architecture, num_classes=5, resolution=13)
        network = on_meta(lambda: build_network(architecture, num_classes=5))  # noqa: B023
        assert counts.params == sum(parameter.numel() for parameter in network.parameters())
        channels, side = 8, 13
        for stage, found in zip(architecture.stages, counts.stages, strict=True):
            assert (found.params, found.macs) == stage_by_hand(stage, channels, side), stage
            channels = stage.channels if stage.layers else channels
            side = found.out_side
        # The printed layers say which network it is: equal ones have one id, and others have others.
        assert built.setdefault(architecture.architecture_id, repr(network.stages)) == repr(network.stages)
        assert space.encode(architecture) == choices == space.canonical(choices)
        if i % 30 == 0:
            network = build_network(architecture, num_classes=5, stochastic_depth=0.1)
            loss = nn.functional.cross_entropy(network(torch.randn(4, 3, 13, 13)), torch.arange(4))
            loss.backward()
            assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    flat = [text.replace("Sequential", "").split() for text in built.values()]
    assert len({tuple(text) for text in flat}) == len(built) == len(set(drawn))


def test_any_choices_are_a_network_and_their_canonical_ones_build_the_same() -> None:
    for space in (three_stages(), three_stages(padding="same", activation="relu"), with_ratios()):
        rng = np.random.default_rng(0)
        for _ in range(150):
            choices = tuple(rng.integers(space.num_options).tolist())
            architecture = space.decode(choices)
            canonical = space.canonical(choices)
            assert space.decode(canonical).architecture_id == architecture.architecture_id
            assert canonical == space.canonical(canonical) == space.encode(architecture)
            text = yaml_text(architecture)
            assert from_mapping(Architecture, parse_yaml(text, name="a"), name="a") == architecture


def with_ratios() -> SearchSpace:
    return space_of({"se_ratio": [0, 0.25]}, {"stride": 2, "kernel_size": 3, "activation": ["silu", "gelu"]})


def test_number_of_networks_is_that_of_all_choices_different_ones() -> None:
    one = space_of({"channels": 8})
    some = {"op": ["uib", "conv", "fused_mbconv"], "channels": 8, "kernel_size": [0, 1]}
    two = space_of({**some, "layers": [0, 1]}, {"op": ["conv", "uib"], "channels": 8})
    gated = space_of({"op": ["mbconv", "uib", "convnext"], "channels": 8, "se_ratio": [0, 0.25]})
    for space in (one, two, gated):
        choices = [tuple(map(int, indices)) for indices in np.ndindex(*space.num_options)]
        ids = {space.decode(each).architecture_id for each in choices}
        assert space.distinct_size == count_distinct(space.rows, space.stem_channels) == len(ids)
        assert {space.decode(space.canonical(each)).architecture_id for each in choices[::7]} <= ids


@pytest.mark.parametrize("first", ["mbconv", "uib"])
def test_a_uib_without_a_start_is_the_mbconv_that_it_builds(first: str) -> None:
    ops = [first, "uib" if first == "mbconv" else "mbconv"]
    stage = {
        "op": ops,
        "kernel_size": 3,
        "se_ratio": 0,
        "channels": 16,
        "layers": 2,
        "start_kernel_size": [0, 3],
    }
    space = space_of(stage)
    assert space.distinct_size == 4  # two expansions; and a start, with UIB
    names = {space.decode(space.canonical(c)).stages[0].op for c in np.ndindex(*space.num_options)}
    assert names == {first, "uib"}
    own = space_of({**stage, "se_ratio": {"mbconv": 0.25}})  # squeeze-excite, which UIB has not
    assert own.distinct_size == 6
    assert own.canonical(own.encode(own.decode((1, 0, 0)))) == (1, 0, 0)


def test_an_op_that_needs_its_kernel_takes_the_first_other_one_and_is_recorded_with_that() -> None:
    space = space_of({"op": ["mbconv", "uib"], "kernel_size": [0, 5, 3], "expansion_ratio": 4, "channels": 8})
    architecture = space.decode((0, 0, 0, 0))
    assert architecture.stages[0].kernel_size == 5
    assert space.canonical((0, 0, 0, 0)) == space.encode(architecture) == (0, 1, 0, 0)
    assert space.decode((1, 0, 0, 0)).stages[0].kernel_size == 0


def test_a_stage_of_stride_2_always_has_a_convolution_that_strides() -> None:
    stage = {"op": "uib", "stride": 2, "expansion_ratio": 4, "channels": 8, "layers": 1}
    space = space_of({**stage, "kernel_size": [0, 3], "start_kernel_size": [0, 5]})
    kernels = [space.decode(choices).stages[0] for choices in np.ndindex(2, 2)]
    assert [(s.kernel_size, s.start_kernel_size) for s in kernels] == [(3, 0), (0, 5), (3, 0), (3, 5)]
    assert space.distinct_size == 3
    only_start = space_of({**stage, "kernel_size": 0, "start_kernel_size": [0, 3, 5]})
    assert [only_start.decode((i,)).stages[0].start_kernel_size for i in range(3)] == [3, 3, 5]
    assert only_start.canonical((0,)) == (1,)


MIXED = (
    ["mbconv", "uib"],
    ["uib", "convnext"],
    ["basic", "conv"],
    ["basic", "bottleneck"],
    [*OPS, "bottleneck"],
)


@pytest.mark.parametrize("ops", [*([op] for op in (*OPS, "bottleneck")), *MIXED], ids="-".join)
def test_spaces_of_any_ops_are_read_again_as_they_are_written(ops: list[str]) -> None:
    plain = set(ops) <= {"basic", "conv"}
    stage = {
        "op": ops, "kernel_size": 3, "expansion_ratio": 1 if plain else [1, 4],
        "start_kernel_size": [0, 3] if "uib" in ops else 0,
    }  # fmt: skip
    space = space_of(stage, {**stage, "stride": 2})
    assert from_mapping(SearchSpace, to_mapping(space), name="space.yaml") == space


def test_a_squeeze_ratio_for_an_op_without_one_is_refused_once() -> None:
    with pytest.raises(ConfigError, match=r"se_ratio: uib stages have none; leave it out$"):
        space_of({"op": "uib", "se_ratio": {"uib": 0.25}})


PLAIN = {"kernel_size": 3, "start_kernel_size": 0}
NOTHING = {"kernel_size": 0, "start_kernel_size": 0}
REFUSED = {
    "kernel": ({"op": ["uib", "mbconv"], "kernel_size": 0}, "kernel_size: 0 is not one of 1, 3"),
    "stride": ({"op": "uib", **NOTHING, "stride": 2}, "kernel_size: a stage of stride 2"),
    "start": ({"op": "mbconv", "kernel_size": 3}, "start_kernel_size: mbconv stages have none"),
    "squeeze": ({"op": "uib", "se_ratio": [0, 0.25]}, "se_ratio: uib stages have none; leave it out"),
    "squeeze by op": (
        {"op": ["mbconv", "uib"], "kernel_size": 3, "se_ratio": {"mbconv": 0, "uib": 1}},
        "se_ratio: uib stages have none",
    ),
    "activation": ({"op": "convnext", "activation": "relu", **PLAIN}, "activation: convnext"),
    "expansion": ({"op": ["basic", "conv"], **PLAIN}, "expansion_ratio: basic and conv stages"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_options_that_no_op_of_a_stage_can_have_are_refused(case: str) -> None:
    stage, message = REFUSED[case]
    with pytest.raises(ConfigError, match=rf"stages\[0\]\.{message}"):
        space_of(stage)


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        (
            {"op": "uib", "kernel_size": 0, "stride": 2},
            "kernel_size: a stage of stride 2 needs a convolution",
        ),
        (
            {"op": "conv", "kernel_size": 0},
            "kernel_size: 0 is not one of .* which conv cannot be without; uib may have none",
        ),
        ({"op": "conv", "expansion_ratio": 4}, "expansion_ratio: conv stages have none; give 1"),
        ({"op": "convnext", "se_ratio": 0.25}, "se_ratio: convnext stages have none"),
        ({"op": "basic", "activation": "silu"}, "activation: basic stages have their own"),
        ({"op": "convnext", "start_kernel_size": 3}, "start_kernel_size: convnext stages have none"),
    ],
)
def test_stages_with_fields_that_their_op_has_not_are_refused(stage: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Stage(**{"expansion_ratio": 1, "channels": 8, "layers": 1, **stage})

"""Different networks among choices: counted without listing them, and encoded by the smallest choices."""

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from small_spaces import REFERENCE, all_choices

from search_spaces.choices.space import SearchSpace
from search_spaces.networks.architecture import Architecture
from search_spaces.settings.yaml_files import from_mapping, read_yaml


def options(values: list[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=2, unique=True)


LISTED = 300  # choices at most: each is decoded
# Small spaces in which stages vanish, go on with each other's blocks, and ratios round alike.
STAGES = st.fixed_dictionaries(
    {
        "op": options(["mbconv", "fused_mbconv"]),
        "kernel_size": options([3, 7]),
        "expansion_ratio": options([1, 1.05, 3.95, 4]),
        "channels": options([8, 16]),
        "layers": st.lists(st.integers(0, 3), min_size=1, max_size=3, unique=True).filter(
            lambda layers: layers != [0]
        ),
        "se_ratio": st.sampled_from([[0.25], [0.25, 0.26], {"mbconv": 0.25, "fused_mbconv": 0.0}]),
    },
    optional={"stride": st.sampled_from([1, 2]), "activation": options(["silu", "relu"])},
)


@st.composite
def spaces(draw: st.DrawFn) -> SearchSpace:
    stages = draw(st.lists(STAGES, min_size=1, max_size=3))
    for stage in stages:
        if stage.get("stride") == 2:
            stage["layers"] = [layers for layers in stage["layers"] if layers] or [1]
    if all(0 in stage["layers"] for stage in stages):
        stages[0]["layers"] = [1, 2]
    mapping = {"stem_channels": 8, "head_channels": 16, "stages": stages, "reference": REFERENCE}
    mapping["activation"] = draw(st.sampled_from(["silu", "relu"]))
    space = from_mapping(SearchSpace, mapping, name="space.yaml")
    assume(space.size <= LISTED)
    return space


@settings(max_examples=30, deadline=None)
@given(space=spaces())
def test_distinct_size_of_a_space_is_the_number_of_identities(space: SearchSpace) -> None:
    choices = all_choices(space)
    identities = {space.decode(c).architecture_id for c in choices}
    assert space.distinct_size == len(identities)
    assert len({space.canonical(c) for c in choices}) == len(identities)


@settings(max_examples=30, deadline=None)
@given(space=spaces(), data=st.data())
def test_canonical_choices_are_the_smallest_that_build_the_network(
    space: SearchSpace, data: st.DataObject
) -> None:
    choices = tuple(data.draw(st.integers(0, count - 1)) for count in space.num_options)
    identity = space.decode(choices).architecture_id
    equal = [c for c in all_choices(space) if space.decode(c).architecture_id == identity]
    assert space.canonical(choices) == min(equal) == space.encode(space.decode(choices))


@pytest.mark.parametrize(
    ("name", "size", "distinct"),
    [
        ("paper", 36**7, 36**7),
        ("cifar", 36**6, 36**6),
        ("compact", 4 * 72 * 72 * 96, 3 * 72 * 72 * 73),  # two stages may be absent
        ("wide", 72**7, 72**5 * 61**2),  # the first and the last stage may be absent
        # The distinct rows of each stage, as modern.yaml has them
        ("modern", 8 * 144 * 288 * 288 * 216 * 216, 8 * 66 * 120 * 126 * 102 * 73),
    ],
)
def test_shipped_spaces_have_their_known_sizes(name: str, size: int, distinct: int) -> None:
    space = read_yaml(SearchSpace, name)
    assert (space.size, space.distinct_size) == (size, distinct)


def test_wide_contains_efficientnetv2_s_exactly() -> None:
    space, published = read_yaml(SearchSpace, "wide"), read_yaml(Architecture, "efficientnetv2-s")
    found = space.decode(space.encode(published))
    assert found.architecture_id == published.architecture_id
    assert [stage for stage in found.stages if stage.layers] == list(published.stages)
    assert [stage.layers for stage in found.stages] == [2, 4, 4, 6, 9, 15, 0]


def test_the_papers_space_does_not_contain_efficientnetv2_s() -> None:
    space, published = read_yaml(SearchSpace, "paper"), read_yaml(Architecture, "efficientnetv2-s")
    with pytest.raises(ValueError, match=r"^stem_channels: .* given; expected"):
        space.encode(published)


def test_networks_of_two_long_stages_that_merge_are_counted() -> None:
    stage = {
        "op": ["mbconv", "fused_mbconv"],
        "kernel_size": [3, 5],
        "expansion_ratio": [1, 4, 6],
        "channels": 8,
        "layers": list(range(1, 31)),
    }
    vanishing = {**stage, "layers": list(range(31))}
    mapping = {"stem_channels": 8, "head_channels": 8, "stages": [stage, vanishing], "reference": REFERENCE}
    space = from_mapping(SearchSpace, mapping, name="space.yaml")
    # Two runs of different kinds: 12 * 11 kinds, 30 * 30 lengths. One run: 1 to 60 blocks of 12 kinds.
    assert space.distinct_size == 12 * 11 * 30 * 30 + 12 * 60


def space_of(*stages: dict[str, Any]) -> SearchSpace:
    given = [{"kernel_size": 3, "channels": 16, "layers": [1, 2], **stage} for stage in stages]
    mapping = {"stem_channels": 8, "head_channels": 8, "stages": given, "reference": REFERENCE}
    return from_mapping(SearchSpace, mapping, name="space.yaml")


@pytest.mark.parametrize(
    "op", ["mbconv", "fused_mbconv", "uib", "convnext", "bottleneck", ["mbconv", "fused_mbconv"]]
)
def test_stages_of_different_expansions_never_build_each_others_blocks(op: str | list[str]) -> None:
    stages = [{"op": op, "expansion_ratio": ratios} for ratios in ([1, 4], [2, 8])]
    space = space_of(*stages, stages[0])
    assert not space._is_ambiguous
    choices = all_choices(space)
    assert space.distinct_size == len({space.decode(c).architecture_id for c in choices}) == len(choices)
    # With a ratio in common they do.
    assert space_of(stages[0], {"op": op, "expansion_ratio": [2, 4]})._is_ambiguous


def test_a_space_of_many_stages_that_never_merge_is_counted_as_a_product() -> None:
    wide = {"op": ["mbconv", "fused_mbconv"], "kernel_size": [3, 5], "channels": list(range(8, 488, 8))}
    space = space_of(*({**wide, "expansion_ratio": ratios} for ratios in ([2, 3], [4, 6]) * 22))
    assert space.num_architectures == space.size == 960**44


def test_stages_of_ops_without_expansion_merge_whatever_their_ratios() -> None:
    first, second = ({"op": ["mbconv", "conv"], "expansion_ratio": ratios} for ratios in ([1, 2], [3, 4]))
    space = space_of(first, second)
    assert space._is_ambiguous
    assert space.distinct_size == len({space.decode(c).architecture_id for c in all_choices(space)})


def test_a_stage_in_anothers_place_builds_its_block_where_ratios_round_alike_behind_the_stem() -> None:
    # 8 * 1 and 8 * 1.05 are 8; 16 * 1 and 16 * 1.05 are 16 and 17.
    stages = [{"op": "mbconv", "expansion_ratio": ratio, "layers": [0, 1]} for ratio in (1, 1.05)]
    space = space_of(*stages, {"op": "fused_mbconv", "expansion_ratio": 4, "layers": 1})
    assert space.distinct_size == 3 == len({space.decode(c).architecture_id for c in all_choices(space)})


def test_stage_of_too_many_rows_to_count_is_refused_and_still_sampled() -> None:
    stage = {
        "op": "mbconv",
        "kernel_size": 3,
        "expansion_ratio": list(range(1, 65)),
        "channels": list(range(8, 520, 8)),
        "layers": [1, 2],
    }
    mapping = {"stem_channels": 8, "head_channels": 8, "stages": [stage] * 5, "reference": REFERENCE}
    space = from_mapping(SearchSpace, mapping, name="space.yaml")
    with pytest.raises(ValueError, match="20,480 rows"):
        _ = space.distinct_size
    choices = space.choice_space().sample(np.random.default_rng(0))
    assert space.canonical(choices) == choices

"""Rounding of channels and layers: the published networks follow from their base networks."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces.networks.architecture import Architecture, Stage
from search_spaces.networks.rounding import Rule, round_channels, round_layers, scaled
from search_spaces.settings.yaml_files import read_yaml

# Width and depth of the official codes, by name.
V1 = {
    "efficientnet-b0": (1.0, 1.0),
    "efficientnet-b1": (1.0, 1.1),
    "efficientnet-b2": (1.1, 1.2),
    "efficientnet-b3": (1.2, 1.4),
    "efficientnet-b4": (1.4, 1.8),
    "efficientnet-b5": (1.6, 2.2),
    "efficientnet-b6": (1.8, 2.6),
    "efficientnet-b7": (2.0, 3.1),
    "efficientnet-b8": (2.2, 3.6),
    "efficientnet-l2": (4.3, 5.3),
}
V2 = {
    "efficientnetv2-b0": (1.0, 1.0),
    "efficientnetv2-b1": (1.0, 1.1),
    "efficientnetv2-b2": (1.1, 1.2),
    "efficientnetv2-b3": (1.2, 1.4),
}
channel_counts = st.floats(min_value=1, max_value=16_384)


@pytest.mark.parametrize("name", V1)
def test_v1_networks_are_b0_scaled_by_v1s_rule(name: str) -> None:
    width, depth = V1[name]
    base = read_yaml(Architecture, "efficientnet-b0")
    assert scaled(base, width=width, depth=depth, rule="v1") == read_yaml(Architecture, name)


@pytest.mark.parametrize("name", V2)
def test_small_v2_networks_are_v2_b0_scaled_by_v2s_rule(name: str) -> None:
    width, depth = V2[name]
    base = read_yaml(Architecture, "efficientnetv2-b0")
    assert scaled(base, width=width, depth=depth, rule="v2") == read_yaml(Architecture, name)


def test_rounding_rules_differ_in_the_first_stage_of_v2_b3() -> None:
    base = read_yaml(Architecture, "efficientnetv2-b0")
    by_v1 = scaled(base, width=1.2, depth=1.4, rule="v1")
    by_v2 = scaled(base, width=1.2, depth=1.4, rule="v2")
    assert [stage.channels for stage in by_v2.stages] == [16, 40, 56, 112, 136, 232]
    assert [stage.channels for stage in by_v1.stages] == [24, 40, 56, 112, 136, 232]


@pytest.mark.parametrize(
    ("channels", "by_v1", "by_v2"),
    [(1, 8, 8), (11.9, 16, 8), (12, 16, 16), (19.2, 24, 16), (20, 24, 24), (17.7, 16, 16), (17.8, 24, 16)],
)
def test_channels_round_to_the_multiple_of_8_that_the_rule_says(
    channels: float, by_v1: int, by_v2: int
) -> None:
    assert (round_channels(channels, "v1"), round_channels(channels, "v2")) == (by_v1, by_v2)


@given(channels=channel_counts, rule=st.sampled_from(["v1", "v2"]))
def test_rounded_channels_are_multiples_of_8_next_to_the_given_ones(channels: float, rule: Rule) -> None:
    rounded = round_channels(channels, rule)
    assert rounded % 8 == 0
    assert rounded >= 8
    assert abs(rounded - channels) < 8
    assert round_channels(rounded, rule) == rounded


@given(channels=channel_counts)
def test_v1_rounding_loses_at_most_a_tenth_and_is_never_below_v2s(channels: float) -> None:
    assert round_channels(channels, "v1") >= 0.9 * channels
    assert round_channels(channels, "v1") - round_channels(channels, "v2") in (0, 8)


@given(first=channel_counts, second=channel_counts, rule=st.sampled_from(["v1", "v2"]))
def test_more_channels_never_round_to_fewer(first: float, second: float, rule: Rule) -> None:
    fewer, more = sorted((first, second))
    assert round_channels(fewer, rule) <= round_channels(more, rule)


@given(tenths=st.integers(1, 100), layers=st.integers(1, 256))
def test_scaled_layers_are_the_ceiling_of_the_exact_product(tenths: int, layers: int) -> None:
    assert round_layers(tenths / 10 * layers) == math.ceil(Fraction(tenths, 10) * layers)


def test_floating_point_error_adds_no_layer() -> None:
    assert 2.2 * 25 > 55
    assert round_layers(2.2 * 25) == 55
    assert round_layers(55.001) == 56
    assert round_layers(1e-9) == 1


def test_layers_agree_with_the_official_codes_ceiling_on_published_networks() -> None:
    for base, published in (("efficientnet-b0", V1), ("efficientnetv2-b0", V2)):
        for stage in read_yaml(Architecture, base).stages:
            for _, depth in published.values():
                assert round_layers(depth * stage.layers) == math.ceil(depth * stage.layers)


def test_scaling_keeps_kernels_strides_and_other_settings() -> None:
    base = Architecture(
        stem_channels=16,
        stem_stride=1,
        stages=(
            Stage(op="mbconv", kernel_size=5, expansion_ratio=6, channels=24, layers=0, se_ratio=0.25),
            Stage(op="fused_mbconv", stride=2, expansion_ratio=4, channels=40, layers=1),
        ),
        head_channels=64,
        padding="same",
        provenance={"run": "runs/first"},
    )
    bigger = scaled(base, width=2, depth=3, rule="v2")
    assert (bigger.stem_stride, bigger.padding, bigger.provenance) == (1, "same", None)
    assert [stage.layers for stage in bigger.stages] == [0, 3]
    assert (bigger.stages[0].kernel_size, bigger.stages[0].se_ratio) == (5, 0.25)
    smaller = scaled(base, width=0.1, depth=0.1, rule="v1")
    assert [stage.layers for stage in smaller.stages] == [0, 1]
    assert [smaller.stem_channels, smaller.head_channels] == [8, 8]


@pytest.mark.parametrize("factor", [0, -1.0, math.inf, math.nan])
def test_scaling_factors_that_are_not_positive_numbers_are_refused(factor: float) -> None:
    base = read_yaml(Architecture, "efficientnet-b0")
    with pytest.raises(ValueError, match=f"width is {factor}; a finite number above 0"):
        scaled(base, width=factor, depth=1, rule="v1")
    with pytest.raises(ValueError, match=f"depth is {factor}; a finite number above 0"):
        scaled(base, width=1, depth=factor, rule="v1")


def test_unknown_rounding_rules_and_too_large_networks_are_refused() -> None:
    with pytest.raises(ValueError, match="'v3' is not known; rules are v1, v2"):
        round_channels(10, "v3")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="less than or equal to 16384"):
        scaled(read_yaml(Architecture, "efficientnet-b0"), width=100, depth=1, rule="v1")

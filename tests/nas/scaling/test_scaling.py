"""Compound scaling: published families from their bases, the formula, V2's heuristics, files and screens."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from places import GOLDEN
from scaled_networks import base_of, scaled_quietly, small_base
from small_networks import UNROUNDED

from nas.scaling.compound import Rules, by_coefficients, by_formula, trained_at
from nas.scaling.factors import PAPER, Coefficients, Formula, coefficients_of
from nas.scaling.grid import grid_formulas, grid_members
from nas.scaling.published import PUBLISHED, like_published
from search_spaces.networks.architecture import Architecture, Stage
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.yaml_files import read_yaml, write_yaml
from trials.pictures import LARGEST_EVALUATION

V1_NAMES = [f"efficientnet-b{i}" for i in range(1, 9)] + ["efficientnet-l2"]
V2_NAMES = [f"efficientnetv2-b{i}" for i in range(1, 4)]
EXPECTED = yaml.safe_load((GOLDEN / "networks.yaml").read_text())["networks"]


def layers_of(architecture: Architecture) -> list[int]:
    return [stage.layers for stage in architecture.stages]


def channels_of(architecture: Architecture) -> list[int]:
    return [stage.channels for stage in architecture.stages]


# ---------------------------------------------------------------------- published families


@pytest.mark.parametrize("name", [*V1_NAMES, *V2_NAMES])
def test_published_coefficients_give_the_published_network_block_for_block(name: str) -> None:
    base = "efficientnetv2-b0" if name in V2_NAMES else "efficientnet-b0"
    (member,) = scaled_quietly(source=base, like=(name,)).members
    published = read_yaml(Architecture, name)
    assert member.architecture == published
    assert list(member.architecture.blocks()) == list(published.blocks())
    assert member.architecture.architecture_id == published.architecture_id
    assert member.inference_resolution == PUBLISHED[name].inference
    assert member.params == EXPECTED[name]["params"]
    assert member.macs == EXPECTED[name]["macs_by_resolution"][member.inference_resolution]


@pytest.mark.parametrize("name", V2_NAMES)
def test_small_v2_networks_have_the_codes_sizes(name: str) -> None:
    member = like_published(base_of("efficientnetv2-b0"), name, Rules())
    sizes = {
        "efficientnetv2-b1": (192, 240),
        "efficientnetv2-b2": (208, 260),
        "efficientnetv2-b3": (240, 300),
    }
    assert (member.training_resolution, member.inference_resolution) == sizes[name]


def test_v1_networks_train_at_google_automls_sizes_or_at_inferences() -> None:
    """google/automl trains V1 names at int(0.8 * size) // 16 * 16; the first paper at the size itself."""
    sizes = [176, 192, 208, 240, 304, 352, 416, 480]
    names = ["efficientnet-b0", *V1_NAMES[:7]]
    base = base_of("efficientnet-b0")
    assert [like_published(base, name, Rules()).training_resolution for name in names] == sizes
    by_v1 = Rules(heuristics="v1")
    first = base_of("efficientnet-b0", heuristics="v1")
    members = [like_published(first, name, by_v1) for name in names]
    assert [m.training_resolution for m in members] == [m.inference_resolution for m in members]
    assert [m.inference_resolution for m in members] == [PUBLISHED[name].inference for name in names]


@pytest.mark.parametrize(
    ("name", "by_hand", "sizes"),
    [
        ("efficientnetv2-s", {4: (136, 128), 6: (272, 256)}, (300, 384)),
        ("efficientnetv2-m", {4: (152, 160)}, (380, 480)),
        ("efficientnetv2-l", {}, (380, 480)),
    ],
)
def test_large_v2_networks_have_the_published_layers_and_all_channels_but_those_set_by_hand(
    name: str, by_hand: dict[int, tuple[int, int]], sizes: tuple[int, int]
) -> None:
    """Section 5 of the fact sheet: layers exact; S differs in stages 4 and 6, M in stage 4, L nowhere."""
    member = like_published(base_of("efficientnetv2-b0"), name, Rules())
    published = read_yaml(Architecture, name)
    assert layers_of(member.architecture) == layers_of(published)
    expected = channels_of(published)
    for stage, (ours, real) in by_hand.items():
        assert expected[stage - 1] == real
        expected[stage - 1] = ours
    assert channels_of(member.architecture) == expected
    assert member.architecture.stem_channels == published.stem_channels
    assert member.architecture.head_channels == published.head_channels
    assert (member.training_resolution, member.inference_resolution) == sizes
    if not by_hand:
        assert member.architecture == published


def test_channels_that_were_set_by_hand_are_noted_for_their_own_base_only() -> None:
    own = scaled_quietly(source="efficientnetv2-b0", like=("efficientnetv2-s", "efficientnetv2-l"))
    (note,) = own.notes
    assert "stage 4: 128, not 136; stage 6: 256, not 272" in note
    (other,) = scaled_quietly(source="efficientnet-b0", like=("efficientnetv2-s",)).notes
    assert "by hand" not in other


def test_rounding_may_be_chosen_other_than_the_published_networks() -> None:
    like = ("efficientnetv2-b3",)
    by_v2 = scaled_quietly(source="efficientnetv2-b0", like=like).members[0].architecture
    by_v1 = scaled_quietly(source="efficientnetv2-b0", like=like, rounding="v1").members[0].architecture
    assert (channels_of(by_v2)[0], channels_of(by_v1)[0]) == (16, 24)


def test_factors_on_every_dimension_give_the_published_network() -> None:
    given = Coefficients(depth=1.4, width=1.2, resolution=300 / 224)
    member = by_coefficients(base_of("efficientnet-b0"), given, Rules(rounding="v1"))
    assert member.architecture == read_yaml(Architecture, "efficientnet-b3")
    assert member.inference_resolution == 300
    assert member.name == "d1.4-w1.2-r1.33929"
    assert coefficients_of(None, None, None) is None
    assert coefficients_of(2.0, None, None) == Coefficients(depth=2.0)


# ---------------------------------------------------------------------- the formula


@pytest.mark.parametrize(
    ("phi", "depth", "width", "pixels"),
    [
        (0.5, 1.10, 1.05, 240), (1, 1.20, 1.10, 258), (2, 1.44, 1.21, 296), (3, 1.73, 1.33, 341),
        (4, 2.07, 1.46, 392), (5, 2.49, 1.61, 451), (6, 2.99, 1.77, 518),
    ],
)  # fmt: skip
def test_compound_scaling_formula_gives_the_papers_factors(
    phi: float, depth: float, width: float, pixels: int
) -> None:
    member = by_formula(base_of("efficientnet-b0"), phi, PAPER, Rules(heuristics="v1"))
    assert round(member.coefficients.depth, 2) == depth
    assert round(member.coefficients.width, 2) == width
    assert member.inference_resolution == pixels
    assert PAPER.macs_factor == pytest.approx(1.92027)


def test_base_of_a_family_is_its_member_at_phi_0() -> None:
    for base in (base_of("efficientnetv2-b0"), base_of("efficientnet-b3"), small_base()):
        assert by_formula(base, 0, PAPER, Rules()).builds_the_same(base)


def test_members_grow_with_phi_in_every_respect() -> None:
    for base in (base_of("efficientnetv2-b0"), small_base()):
        members = [by_formula(base, phi / 4, PAPER, Rules()) for phi in range(-4, 9)]
        for quantity in ("params", "macs", "training_macs", "layers", "training_resolution"):
            values = [getattr(member, quantity) for member in members]
            assert values == sorted(values), quantity
        assert members[0].macs < base.macs < members[-1].macs
        assert all(m.training_resolution <= m.inference_resolution for m in members)


def test_a_smaller_member_has_fewer_channels_and_smaller_images() -> None:
    member = by_formula(base_of("efficientnet-b0"), -2, PAPER, Rules())
    assert channels_of(member.architecture) == [16, 16, 32, 64, 96, 160, 264]
    assert member.inference_resolution == round(224 / 1.15**2)


def test_scaling_factors_may_be_overridden_one_by_one() -> None:
    base = base_of("efficientnet-b0")
    deeper = by_formula(base, 1, Formula(alpha=2, beta=1, gamma=1), Rules())
    assert channels_of(deeper.architecture) == channels_of(base.architecture)
    assert layers_of(deeper.architecture) == [2 * n for n in layers_of(base.architecture)]
    assert deeper.training_resolution == base.training_resolution
    assert deeper.inference_resolution == base.inference_resolution


def test_channels_stay_as_they_are_where_only_depth_is_scaled() -> None:
    member = by_coefficients(small_base(), Coefficients(depth=2), Rules())
    assert channels_of(member.architecture) == [12, 20, 28, 36]
    assert layers_of(member.architecture) == [2, 4, 0, 4]
    assert (member.architecture.stem_channels, member.architecture.head_channels) == (12, 60)


# ---------------------------------------------------------------------- V2's heuristics


def test_inference_size_is_bounded_and_training_size_about_a_fifth_smaller() -> None:
    base = base_of("efficientnetv2-b0")
    for phi in (1, 2, 3, 4):
        member = by_formula(base, phi, PAPER, Rules())
        assert 0.74 <= member.training_resolution / member.inference_resolution <= 0.8
        assert not member.is_capped
    large = by_formula(base, 7, PAPER, Rules())
    assert (large.inference_resolution, large.training_resolution, large.is_capped) == (
        LARGEST_EVALUATION,
        384,
        True,
    )
    free = by_formula(base, 7, PAPER, Rules(heuristics="v1"))
    assert free.inference_resolution == free.training_resolution == 596
    assert not free.is_capped


@pytest.mark.parametrize(
    ("inference", "training"), [(480, 384), (260, 208), (224, 176), (160, 128), (64, 48), (32, 24), (8, 6)]
)
def test_training_sizes_are_multiples_that_suit_the_image(inference: int, training: int) -> None:
    assert trained_at(inference) == training


def test_base_with_images_above_the_bound_keeps_their_size() -> None:
    base = base_of("efficientnetv2-xl")
    member = by_formula(base, 1, PAPER, Rules())
    assert (base.inference_resolution, member.inference_resolution) == (512, 512)
    assert member.is_capped


def test_stem_and_head_stay_unscaled_if_asked() -> None:
    base = base_of("efficientnetv2-b0")
    fixed = by_formula(base, 3, PAPER, Rules(ends="fixed")).architecture
    free = by_formula(base, 3, PAPER, Rules()).architecture
    assert (fixed.stem_channels, fixed.head_channels) == (32, 1280)
    assert (free.stem_channels, free.head_channels) == (40, 1704)
    assert fixed.stages == free.stages


def test_late_layers_of_scaled_v2_s_are_those_of_v2_m() -> None:
    base = base_of("efficientnetv2-b0")
    depth = Coefficients(depth=2.2)
    plain = by_coefficients(base, depth, Rules()).architecture
    late = by_coefficients(base, depth, Rules(late_layers=True)).architecture
    assert layers_of(plain) == [3, 5, 5, 7, 11, 18]
    assert layers_of(late) == [3, 5, 5, 7, 14, 18, 5]
    assert late.stages[-1] == replace(late.stages[-2], stride=1, channels=320, layers=5)


def test_late_layers_fill_a_last_stage_of_stride_1_that_is_there_already() -> None:
    base = base_of("efficientnet-b0")  # 1, 2, 2, 3, 3, 4, 1
    late = by_coefficients(base, Coefficients(depth=3), Rules(late_layers=True)).architecture
    assert layers_of(late) == [3, 6, 6, 9, 11, 12, 3]
    assert len(late.stages) == 7


def test_late_layers_of_a_network_without_stride_go_into_an_added_last_stage() -> None:
    stages = tuple(replace(stage, stride=1) for stage in UNROUNDED.stages)
    base = replace(small_base(), architecture=replace(UNROUNDED, stages=stages))
    late = by_coefficients(base, Coefficients(depth=2), Rules(late_layers=True)).architecture
    assert layers_of(late) == [2, 5, 0, 4, 1]


# ---------------------------------------------------------------------- the base


def test_sizes_and_classes_of_the_base_come_from_its_file_or_name(tmp_path: Path) -> None:
    published = base_of("efficientnetv2-s")
    assert (published.training_resolution, published.inference_resolution) == (300, 384)
    assert published.num_classes == 1000
    write_yaml(replace(UNROUNDED, provenance={"num_classes": 7, "resolution": 48}), tmp_path / "winner.yaml")
    winner = base_of(str(tmp_path / "winner.yaml"))
    assert (winner.num_classes, winner.inference_resolution, winner.training_resolution) == (7, 48, 38)
    told = base_of(str(tmp_path / "winner.yaml"), resolution=64, num_classes=3)
    assert (told.num_classes, told.inference_resolution, told.training_resolution) == (3, 64, 48)
    first = base_of(str(tmp_path / "winner.yaml"), heuristics="v1")
    assert first.training_resolution == first.inference_resolution == 48


@pytest.mark.parametrize("value", ["abc", "1", "99999", "true"])
def test_an_odd_training_resolution_in_a_file_is_refused(value: str, tmp_path: Path) -> None:
    write_yaml(UNROUNDED, tmp_path / "a.yaml")
    text = (tmp_path / "a.yaml").read_text() + f"provenance: {{training_resolution: {value}}}\n"
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"provenance\.training_resolution"):
        base_of(str(tmp_path / "a.yaml"))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda base: by_formula(base, 60, PAPER, Rules()), "--phi 60 .* take a phi nearer to 0"),
        (lambda base: by_formula(base, 1e9, PAPER, Rules()), "--phi 1e[+]09"),
        (lambda base: by_formula(base, float("nan"), PAPER, Rules()), "--phi: nan"),
        (lambda base: by_formula(base, -15, PAPER, Rules()), "images of 28 px are too small"),
        (lambda base: by_coefficients(base, Coefficients(width=16), Rules()), "16,384 channels"),
        (
            lambda base: by_coefficients(base, Coefficients(resolution=16), Rules(heuristics="v1")),
            "6,144 px; 4,096",
        ),
        (lambda base: Coefficients(width=-1), "--width: -1 is no factor"),
        (lambda base: Coefficients(resolution=300), "--resolution: 300 is no factor above 0 and up to 16"),
        (lambda base: Formula(alpha=0.5), "--alpha: 0.5 is out of range"),
        (lambda base: Formula(1, 1, 1), "scales nothing"),
        (lambda base: like_published(base, "efficientnetv2-xl", Rules()), "set by hand"),
        (lambda base: like_published(base, "resnet", Rules()), "there are efficientnet-b0, "),
    ],
)
def test_impossible_scalings_are_refused_with_advice(make: Any, words: str) -> None:
    large = replace(base_of("efficientnetv2-s"), training_resolution=384)
    wide = tuple(replace(stage, channels=1200) for stage in large.architecture.stages)
    base = replace(large, architecture=replace(large.architecture, stages=wide))
    with pytest.raises(ConfigError, match=words):
        make(replace(base, inference_resolution=224) if "28 px" in words else base)


def test_channels_that_an_op_cannot_have_are_refused_in_its_own_words() -> None:
    stage = Stage(op="bottleneck", expansion_ratio=3, channels=24, layers=2)
    thirds = replace(
        small_base(), architecture=Architecture(stem_channels=24, stages=(stage,), head_channels=64)
    )
    with pytest.raises(
        ConfigError, match=r"w1\.3-r1: channels: 32 of a bottleneck stage is no multiple"
    ) as found:
        by_coefficients(thirds, Coefficients(width=1.3), Rules())
    assert "16,384" not in str(found.value)


# ---------------------------------------------------------------------- the grid


def test_grid_of_coefficients_holds_the_papers_and_only_those_that_double_the_macs() -> None:
    formulas = grid_formulas()
    assert PAPER in formulas
    assert all(1.9 <= formula.macs_factor <= 2.1 for formula in formulas)
    assert Formula(2, 1, 1) in formulas
    assert len(set(formulas)) == len(formulas) > 40


def test_grid_members_differ_and_the_nearest_to_doubling_come_first() -> None:
    base = small_base()
    members = grid_members(base, Rules())
    assert len({(m.architecture.architecture_id, m.inference_resolution) for m in members}) == len(members)
    distances = [abs(member.macs / base.macs - 2) for member in members]
    assert distances == sorted(distances)
    assert all(member.phi == 1 and member.name.startswith("a") for member in members)


def test_grid_leaves_out_members_whose_images_reach_the_bound() -> None:
    base = replace(small_base(), inference_resolution=470)
    sizes = [member.inference_resolution for member in grid_members(base, Rules())]
    assert 0 < len(sizes) < len(grid_members(small_base(), Rules()))
    assert max(sizes) < LARGEST_EVALUATION

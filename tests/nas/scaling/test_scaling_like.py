"""Scaling like a published network from any other one: ratios stage by stage, found networks, refusals."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
import yaml
from places import GOLDEN
from scaled_networks import QUIET, base_of, scaled_quietly, screen_of

from nas.scaling.compound import Rules
from nas.scaling.family import Request
from nas.scaling.files import scale_into
from nas.scaling.published import (
    PUBLISHED,
    generation_of,
    like_published,
    published_architecture,
    published_name,
    reference_for,
)
from search_spaces.networks.architecture import Architecture, Stage
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.yaml_files import write_yaml
from trials.pictures import LARGEST_EVALUATION

NAMES = [name for name in PUBLISHED if PUBLISHED[name].width]
BY_STAGE = [
    (one, other)
    for one in PUBLISHED
    for other in NAMES
    if generation_of(one) == generation_of(other) and not one.endswith("-b0")
]
V2_S, V2_M, V2_L = (f"efficientnetv2-{size}" for size in "sml")
EXPECTED = yaml.safe_load((GOLDEN / "networks.yaml").read_text())["networks"]


def found(*strides: int, layers: int = 4) -> Architecture:
    """A network as a search finds it: 24, 32, 40, ... channels, the ops by turns."""
    stages = (
        Stage(
            op="mbconv" if number % 2 else "fused_mbconv",
            kernel_size=5,
            stride=stride,  # type: ignore[arg-type]
            expansion_ratio=4,
            channels=24 + 8 * number,
            layers=layers + number,
        )
        for number, stride in enumerate(strides)
    )
    return Architecture(stem_channels=48, stages=tuple(stages), head_channels=1792)


LIKE_V2_S = found(1, 2, 2, 2, 1, 2)
LIKE_V2_M = found(1, 2, 2, 2, 1, 2, 1)


def file_of(architecture: Architecture, folder: Path, **provenance: object) -> str:
    write_yaml(replace(architecture, provenance=provenance or None), folder / "found.yaml")
    return str(folder / "found.yaml")


# ---------------------------------------------------------------------- published ones from each other


@pytest.mark.parametrize(("one", "other"), BY_STAGE)
def test_a_published_network_scaled_like_another_becomes_it(one: str, other: str) -> None:
    member = like_published(base_of(one), other, Rules(rounding=PUBLISHED[other].rounding))
    assert member.architecture == published_architecture(other)
    assert member.inference_resolution == PUBLISHED[other].inference
    assert (member.like, member.like_from, member.coefficients) == (other, one, None)


@pytest.mark.parametrize(("other", "layers"), [(V2_M, 57), (V2_L, 79)])
def test_v2_s_scaled_like_m_and_l_has_their_published_figures(other: str, layers: int) -> None:
    (member,) = scaled_quietly(source=V2_S, like=(other,)).members
    assert (member.layers, member.training_resolution, member.inference_resolution) == (layers, 380, 480)
    assert member.params == EXPECTED[other]["params"]
    assert member.macs == EXPECTED[other]["macs_by_resolution"][480]


def test_a_scaled_network_is_scaled_further_from_what_it_was_made_like(tmp_path: Path) -> None:
    """S to M to L: exactly for the published one, by M's ratios for a found one."""
    for source, last in ((V2_S, published_architecture(V2_L)), (file_of(LIKE_V2_S, tmp_path), None)):
        folder = tmp_path / Path(source).stem
        _, files = scale_into(folder, Request(source=source, like=(V2_M,)), force=False, console=QUIET)
        (member,) = scaled_quietly(source=str(files[0]), like=(V2_L,)).members
        assert member.like_from == V2_M
        assert last is None or member.architecture == last


def test_padding_does_not_hide_which_published_network_a_base_is() -> None:
    for name in PUBLISHED:
        assert published_name(replace(published_architecture(name), padding="same")) == name
    assert published_name(LIKE_V2_S) is None


# ---------------------------------------------------------------------- found networks


def test_a_found_network_grows_stage_by_stage_as_v2_s_does_to_v2_m(tmp_path: Path) -> None:
    source = file_of(LIKE_V2_S, tmp_path, resolution=384)
    result = scaled_quietly(source=source, like=(V2_M,))
    (member,) = result.members
    stages = member.architecture.stages
    # Layers times 3/2, 5/4, 5/4, 7/6, 14/9, 6/5 upwards; channels times 1, 1, 5/4, 5/4, 11/10, 19/16 to 8s.
    assert [stage.layers for stage in stages[:6]] == [6, 7, 8, 9, 13, 11]
    assert [stage.channels for stage in stages[:6]] == [24, 32, 48, 64, 64, 80]
    # A seventh one, of a third of the layers of the sixth, twice as wide, else equal to it.
    assert stages[6:] == (replace(LIKE_V2_S.stages[5], stride=1, layers=3, channels=128),)
    assert (member.architecture.stem_channels, member.architecture.head_channels) == (48, 1792)
    assert (member.training_resolution, member.inference_resolution) == (380, 480)
    text = " ".join(screen_of(result, []).split())
    assert f"extrapolates: it grows as {V2_S} does to {V2_M}, and this network is not that one" in text
    assert "a last stage of stride 1 is added" in text


def test_stem_and_head_of_a_found_network_grow_in_proportion_or_not_at_all(tmp_path: Path) -> None:
    source = file_of(LIKE_V2_S, tmp_path)
    (free,) = scaled_quietly(source=source, like=(V2_L,)).members
    (fixed,) = scaled_quietly(source=source, like=(V2_L,), fix_ends=True).members
    assert (free.architecture.stem_channels, free.architecture.head_channels) == (64, 1792)
    assert (fixed.architecture.stem_channels, fixed.architecture.head_channels) == (48, 1792)
    assert fixed.architecture.stages == free.architecture.stages


def test_a_seventh_stage_that_is_there_grows_as_the_sixth_and_the_screen_says_so(tmp_path: Path) -> None:
    result = scaled_quietly(source=file_of(LIKE_V2_M, tmp_path), like=(V2_M,))
    (member,) = result.members
    assert len(member.architecture.stages) == 7
    # ceil(10 * 6/5) layers, more than 9 / 3; 72 * 19/16 channels.
    assert (member.architecture.stages[6].layers, member.architecture.stages[6].channels) == (12, 88)
    assert f"stage 7 has no counterpart in {V2_S}" in " ".join(screen_of(result, []).split())
    short = (*LIKE_V2_M.stages[:6], replace(LIKE_V2_M.stages[6], layers=1))
    (least,) = scaled_quietly(
        source=file_of(replace(LIKE_V2_M, stages=short), tmp_path), like=(V2_M,)
    ).members
    assert least.architecture.stages[6].layers == 3


def test_a_stage_that_is_absent_from_a_found_network_gives_its_place_to_the_new_one(tmp_path: Path) -> None:
    absent = (*LIKE_V2_S.stages, replace(LIKE_V2_M.stages[6], layers=0))
    source = file_of(replace(LIKE_V2_S, stages=absent), tmp_path)
    (member,) = scaled_quietly(source=source, like=(V2_M,)).members
    (plain,) = scaled_quietly(source=file_of(LIKE_V2_S, tmp_path), like=(V2_M,)).members
    assert member.architecture == plain.architecture


def test_a_network_standing_for_v2_m_loses_its_last_stage_on_the_way_to_v2_s(tmp_path: Path) -> None:
    result = scaled_quietly(source=file_of(LIKE_V2_M, tmp_path), like=(V2_S,), like_from=V2_M)
    assert len(result.members[0].architecture.stages) == 6
    assert f"stage 7 is left out, as {V2_S} has none" in " ".join(result.notes)


@pytest.mark.parametrize(
    ("strides", "like", "words"),
    [
        ((1, 2, 2, 1, 2, 1), V2_M, f"stage 4 of this network has stride 1, and stage 4 of {V2_M} 2"),
        ((1, 2, 2, 2), V2_M, f"4 stages, and nothing in the place of stage 5 of {V2_S}"),
        ((1, 2, 2, 2, 1, 2, 1, 1), V2_L, "stage 8 of this network has no counterpart"),
        ((1, 2, 2, 2, 1, 2, 2), V2_M, f"stage 7 of this network has stride 2, and stage 7 of {V2_M} 1"),
    ],
)
def test_networks_whose_stages_do_not_map_are_refused_with_the_stage(
    strides: tuple[int, ...], like: str, words: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=words):
        scaled_quietly(source=file_of(found(*strides), tmp_path), like=(like,))


def test_sizes_of_scaled_networks_grow_in_the_published_ratio_up_to_the_bound() -> None:
    base = replace(base_of(V2_S), architecture=LIKE_V2_S)
    for inference in (96, 224, 384):
        member = like_published(replace(base, inference_resolution=inference), V2_M, Rules())
        assert member.inference_resolution == round(inference * Fraction(480, 384))
        assert member.training_resolution == round(inference * Fraction(380, 384))
        assert not member.is_capped
    for inference in (400, LARGEST_EVALUATION):
        member = like_published(replace(base, inference_resolution=inference), V2_M, Rules())
        assert (member.training_resolution, member.inference_resolution, member.is_capped) == (
            380,
            LARGEST_EVALUATION,
            True,
        )


# ---------------------------------------------------------------------- which network the base stands for


@pytest.mark.parametrize(
    ("source", "target", "reference"),
    [
        (V2_S, V2_M, V2_S),
        ("efficientnetv2-xl", V2_S, "efficientnetv2-xl"),
        ("efficientnetv2-b0", V2_M, "efficientnetv2-b0"),
        ("efficientnet-b0", V2_M, "efficientnetv2-b0"),
        (None, V2_M, V2_S),
        (None, V2_L, V2_S),
        (None, V2_S, "efficientnetv2-b0"),
        (None, "efficientnet-b3", "efficientnet-b0"),
    ],
)
def test_base_stands_for_itself_or_for_the_network_that_the_published_one_was_made_from(
    source: str | None, target: str, reference: str
) -> None:
    base = base_of(source) if source else replace(base_of(V2_S), architecture=LIKE_V2_S)
    assert reference_for(base, target, stated=None) == reference
    assert reference_for(base, V2_M, stated=V2_L) == V2_L


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"source": "efficientnet-b4", "like": (V2_M,)},
            "the base is efficientnet-b4.* two generations.*--from",
        ),
        (
            {"like": (V2_M,), "like_from": "efficientnetv2-m1"},
            "--from efficientnetv2-m1: .*'efficientnetv2-m'",
        ),
        (
            {"like": (V2_M,), "like_from": "efficientnet-b0"},
            "--from efficientnet-b0: with --like .* is one of",
        ),
        ({"phis": (1.0,), "like_from": V2_S}, "--from given without --like"),
        (
            {"like": (V2_M,), "late_layers": True},
            f"--late-layers with --like {V2_M}: .* leave --late-layers out",
        ),
        ({"like": ("efficientnetv2-b1",), "heuristics": "v1"}, "--v1 with --like efficientnetv2-b1"),
    ],
)
def test_options_that_have_no_meaning_beside_like_are_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        scaled_quietly(**{"source": V2_S, **changes})


# ---------------------------------------------------------------------- late layers, and going beyond


def test_late_layers_change_layers_or_are_refused(tmp_path: Path) -> None:
    # 2 layers become ceil(2.4) = 3 or, with the late stages' 6 for 5, ceil(2.88) = 3.
    source = file_of(found(1, 2, 1, layers=2), tmp_path)
    with pytest.raises(ConfigError, match=r"--late-layers changes nothing of phi1: rounded, .* leave it out"):
        scaled_quietly(source=source, phis=(1,), late_layers=True)
    both = scaled_quietly(source=source, phis=(1, 2), late_layers=True)
    assert "phi1: --late-layers changes nothing, since layers are rounded" in both.notes
    plain = scaled_quietly(source=V2_S, phis=(1,)).members[0]
    grown = scaled_quietly(source=V2_S, phis=(1,), late_layers=True).members[0]
    assert grown.layers > plain.layers


def test_members_beyond_published_networks_are_said_to_extrapolate() -> None:
    def notes(source: str, *phis: float) -> str:
        return " ".join(scaled_quietly(source=source, phis=phis).notes)

    assert notes("efficientnet-b0", -1, 0, 2) == ""
    assert notes(V2_S, 0) == ""
    assert notes(V2_S, 1) == (
        "phi extrapolates: alpha, beta and gamma were found on efficientnet-b0, and this network is not that "
        "one"
    )
    assert notes("efficientnetv2-xl", 0.5).endswith(
        "phi0.5 extrapolates: it has more parameters than efficientnetv2-xl, the largest published network "
        "of its generation"
    )

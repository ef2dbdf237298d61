"""Other projects' descriptions: round trips over all spaces and published networks, and what is refused."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_networks import EXCHANGEABLE

from search_spaces.choices.space import SearchSpace
from search_spaces.interchange.files import FORMATS, from_text, published_names, read_foreign, to_text
from search_spaces.networks.architecture import Architecture, Padding, Stage
from search_spaces.networks.counting import count
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.yaml_files import read_yaml

SPACES = sorted(path.stem for path in SearchSpace.SHIPPED.glob("*.yaml"))
PUBLISHED = sorted(path.stem for path in Architecture.SHIPPED.glob("efficientnet*.yaml"))
PADS: dict[str, tuple[Padding, ...]] = {
    "timm": ("symmetric", "same"), "automl": ("same",), "torchvision": ("symmetric",)
}  # fmt: skip

stages = st.builds(
    Stage,
    op=st.sampled_from(["mbconv", "fused_mbconv"]),
    kernel_size=st.sampled_from([1, 3, 5, 7]),
    stride=st.sampled_from([1, 2]),
    expansion_ratio=st.integers(1, 6) | st.sampled_from([0.5, 1.04, 2.5, 3.75]),
    channels=st.integers(1, 200) | st.integers(1, 25).map(lambda eighth: 8 * eighth),
    layers=st.integers(1, 4),
    se_ratio=st.sampled_from([0.0, 0.25]) | st.floats(0, 1),
    activation=st.sampled_from([None, None, None, "silu", "relu", "hard_swish", "gelu"]),
)
architectures = st.builds(
    Architecture,
    stem_channels=st.integers(1, 60) | st.sampled_from([16, 24, 32]),
    stem_stride=st.sampled_from([1, 2, 2, 2]),
    stages=st.lists(stages, min_size=1, max_size=4).map(tuple),
    head_channels=st.integers(1, 200) | st.just(64),
    padding=st.sampled_from(["symmetric", "same"]),
    activation=st.sampled_from(["silu", "silu", "relu6", "gelu"]),
)


def same_network(one: Architecture, other: Architecture) -> bool:
    """Equal blocks and padding, and as many parameters."""
    if one.without_provenance() == other.without_provenance():
        return True
    params = [count(a, num_classes=10, resolution=a.total_stride).params for a in (one, other)]
    return one.architecture_id == other.architecture_id and params[0] == params[1]


def written_or_refused(format_name: str, architecture: Architecture) -> tuple[str | None, str]:
    """The text, or None and what is said instead."""
    try:
        return to_text(format_name, architecture), ""
    except ConfigError as error:
        return None, str(error)


# ---------------------------------------------------------------------- round trips


@pytest.mark.parametrize("format_name", FORMATS)
@pytest.mark.parametrize("space_name", SPACES)
def test_architectures_of_all_spaces_survive_export_and_import(space_name: str, format_name: str) -> None:
    space = read_yaml(SearchSpace, space_name)
    choice_space, rng = space.choice_space(), np.random.default_rng(7)
    for _ in range(4):
        architecture = space.decode(choice_space.sample(rng))
        for padding in PADS[format_name]:
            written = replace(architecture, padding=padding)
            if space.stem_stride == 1:  # spaces for small images: no other project has such a stem
                refused = written_or_refused(format_name, written)[1]
                assert "stride 2" in refused or "only EfficientNets" in refused  # of other ops
                continue
            text = to_text(format_name, written)
            assert same_network(from_text(format_name, text, name="x").architecture, written)


@pytest.mark.parametrize("format_name", FORMATS)
@pytest.mark.parametrize("name", PUBLISHED)
def test_published_networks_survive_export_and_import(name: str, format_name: str) -> None:
    for padding in PADS[format_name]:
        written = replace(read_yaml(Architecture, name), padding=padding)
        back = from_text(format_name, to_text(format_name, written), name="x").architecture
        assert back == replace(written, provenance=None)


@settings(max_examples=75, deadline=None)
@given(architecture=architectures, format_name=st.sampled_from(sorted(FORMATS)))
def test_any_network_survives_export_and_import_or_is_refused_with_a_reason(
    architecture: Architecture, format_name: str
) -> None:
    text, reason = written_or_refused(format_name, architecture)
    if text is None:
        assert reason.startswith(f"{format_name} cannot express this network: ")
        return
    assert from_text(format_name, text, name="x").architecture.architecture_id == architecture.architecture_id


@pytest.mark.parametrize("name", ["mobilenetv2", "mnasnet-a1"])
def test_published_networks_of_other_activations_go_to_timm_alone(name: str) -> None:
    written = read_yaml(Architecture, name)
    back = from_text("timm", to_text("timm", written), name="x").architecture
    assert back == replace(written, provenance=None)
    assert "activation: relu" in written_or_refused("torchvision", written)[1]
    assert "activation: relu" in written_or_refused("automl", replace(written, padding="same"))[1]


def test_exported_block_strings_are_those_that_the_projects_publish() -> None:
    network = read_yaml(Architecture, "efficientnetv2-s")
    assert json.loads(to_text("timm", network))["arch_def"] == [
        ["cn_r2_k3_s1_e1_c24_skip"], ["er_r4_k3_s2_e4_c48"], ["er_r4_k3_s2_e4_c64"],
        ["ir_r6_k3_s2_e4_c128_se0.25"], ["ir_r9_k3_s1_e6_c160_se0.25"], ["ir_r15_k3_s2_e6_c256_se0.25"],
    ]  # fmt: skip
    assert json.loads(to_text("automl", replace(network, padding="same")))["blocks_args"] == [
        "r2_k3_s1_e1_i24_o24_c1", "r4_k3_s2_e4_i24_o48_c1", "r4_k3_s2_e4_i48_o64_c1",
        "r6_k3_s2_e4_i64_o128_se0.25", "r9_k3_s1_e6_i128_o160_se0.25", "r15_k3_s2_e6_i160_o256_se0.25",
    ]  # fmt: skip
    first = json.loads(to_text("torchvision", network))["inverted_residual_setting"][0]
    assert first == {
        "config": "FusedMBConvConfig", "expand_ratio": 1, "kernel": 3, "stride": 1, "input_channels": 24,
        "out_channels": 24, "num_layers": 2,
    }  # fmt: skip
    assert json.loads(to_text("timm", EXCHANGEABLE))["arch_def"][2] == ["ds_r1_k3_s1_e1_c32_se0.25"]


def test_other_activations_and_fractional_expansions_are_timms_words() -> None:
    stages = (
        Stage(op="mbconv", kernel_size=7, expansion_ratio=3.5, channels=24, layers=1),
        Stage(op="mbconv", expansion_ratio=4, channels=24, layers=1, activation="relu6"),
        Stage(op="fused_mbconv", expansion_ratio=4, channels=32, layers=1, activation="silu"),
    )
    network = Architecture(stem_channels=16, stages=stages, head_channels=64, activation="hard_swish")
    text = to_text("timm", network)
    assert json.loads(text)["arch_def"] == [
        ["ir_r1_k7_s1_e3.5_c24"], ["ir_r1_k3_s1_e4_c24_nr6"], ["er_r1_k3_s1_e4_c32_nsw"],
    ]  # fmt: skip
    assert json.loads(text)["act_layer"] == "hard_swish"
    assert from_text("timm", text, name="x").architecture == network
    for name in ("automl", "torchvision"):
        reason = written_or_refused(name, replace(network, padding=PADS[name][0]))[1]
        assert "activation: hard_swish, relu6: " in reason
    gelu = replace(network, stages=(replace(stages[0], activation="gelu"),))
    assert "timm has no word for it" in written_or_refused("timm", gelu)[1]
    whole = replace(network, stages=(stages[0],), activation="silu")
    fractional = replace(whole, padding="same", stages=(replace(stages[0], activation=None),))
    assert "expansion_ratio: 3.5: " in written_or_refused("automl", fractional)[1]
    nothing = replace(fractional, stages=(replace(stages[0], expansion_ratio=1.01),))
    assert "a convolution in timm" in written_or_refused("timm", nothing)[1]
    with pytest.raises(ConfigError, match="several activations in 'ds_r1_k3_s1_c24_nsw_nre'"):
        from_text("timm", f"{HAND}arch_def: [[ds_r1_k3_s1_c24_nsw_nre]]\n", name="x")


HAND = "stem_size: 16\nnum_features: 64\n"


def test_block_strings_written_by_hand_are_read() -> None:
    text = "stem_size: 16\nnum_features: 64\narch_def: [[er_k3_r1_c24_s2_e4_se0.5], [ds_r1_k3_s1_c24_nsw]]\n"
    found = from_text("timm", text, name="mine.yaml").architecture
    assert found.stages[0].se_ratio == 0.5
    assert found.stages[1] == Stage(op="mbconv", expansion_ratio=1, channels=24, layers=1)


# ---------------------------------------------------------------------- names


@pytest.mark.parametrize("format_name", FORMATS)
def test_every_published_name_of_a_library_is_read(format_name: str) -> None:
    names = published_names(format_name)
    assert len(names) >= 10
    assert len(set(names)) == len(names)
    for name in names:
        assert read_foreign(format_name, name).architecture.stages


@pytest.mark.parametrize(
    ("project", "name", "ours", "padding", "epsilon", "pixels"),
    [
        ("timm", "tf_efficientnetv2_s", "efficientnetv2-s", "same", 1e-3, "half"),
        ("timm", "efficientnetv2_s", "efficientnetv2-s", "symmetric", 1e-5, "imagenet"),
        ("timm", "tf_efficientnet_b0", "efficientnet-b0", "same", 1e-3, "imagenet"),
        ("timm", "tf_efficientnet_b0.ap_in1k", "efficientnet-b0", "same", 1e-3, "half"),
        ("timm", "efficientnet_b1.ra4_e3600_r240_in1k", "efficientnet-b1", "symmetric", 1e-5, "half"),
        ("timm", "tf_efficientnetv2_b3.in1k", "efficientnetv2-b3", "same", 1e-3, "imagenet"),
        ("timm", "tf_efficientnetv2_b3.in21k", "efficientnetv2-b3", "same", 1e-3, "half"),
        ("torchvision", "efficientnet_v2_l", "efficientnetv2-l", "symmetric", 1e-3, "half"),
        ("torchvision", "efficientnet_v2_s", "efficientnetv2-s", "symmetric", 1e-3, "imagenet"),
        ("torchvision", "efficientnet_b4", "efficientnet-b4", "symmetric", 1e-5, "imagenet"),
        ("torchvision", "efficientnet_b5", "efficientnet-b5", "symmetric", 1e-3, "imagenet"),
        ("automl", "efficientnetv2-b2", "efficientnetv2-b2", "same", 1e-3, "ours"),
    ],
)
def test_library_names_stand_for_networks_with_their_epsilon_and_pixels(
    project: str, name: str, ours: str, padding: Padding, epsilon: float, pixels: str
) -> None:
    found = read_foreign(project, name)
    assert found.architecture == replace(read_yaml(Architecture, ours), padding=padding)
    assert (found.epsilon, found.pixels) == (epsilon, pixels)


def test_name_that_means_another_network_in_a_library_is_not_known() -> None:
    with pytest.raises(ConfigError, match="no network of that name"):
        read_foreign("automl", "efficientnet-b3")  # its code rounds the first stage to 16 channels, not 24


# ---------------------------------------------------------------------- what is refused


def changed(stage: int, **values: object) -> Architecture:
    """EXCHANGEABLE with something else in a stage, from 0."""
    rows = list(EXCHANGEABLE.stages)
    rows[stage] = replace(rows[stage], **values)  # type: ignore[arg-type]
    return replace(EXCHANGEABLE, stages=tuple(rows))


@pytest.mark.parametrize(
    ("format_name", "architecture", "reason"),
    [
        ("timm", read_yaml(Architecture, "resnet50"), "resnet: of timm's networks only EfficientNets"),
        ("torchvision", read_yaml(Architecture, "resnet152"), "resnet: of torchvision's networks only"),
        ("timm", replace(EXCHANGEABLE, stem_stride=1), "stem of timm has stride 2"),
        ("torchvision", replace(EXCHANGEABLE, stem_stride=1), "stem of torchvision has stride 2"),
        (
            "automl",
            replace(EXCHANGEABLE, stem_stride=1, padding="same"),
            "stem of google/automl has stride 2",
        ),
        ("automl", EXCHANGEABLE, "padding: symmetric"),
        ("timm", changed(2, op="uib", layers=1, se_ratio=0), "uib: of timm's networks only EfficientNets"),
        ("automl", changed(4, op="convnext", se_ratio=0), "convnext: of google/automl's networks only"),
        ("torchvision", changed(1, op="conv", expansion_ratio=1), "conv: of torchvision's networks only"),
        ("timm", changed(1, op="bottleneck"), "bottleneck: of timm's networks only EfficientNets"),
        ("torchvision", replace(EXCHANGEABLE, padding="same"), "padding: same"),
        ("torchvision", changed(1, se_ratio=0.25), "stage 2: torchvision has no squeeze-excite in a Fused"),
        ("torchvision", changed(3, se_ratio=0.0), "stage 4: .* squeezes 24 channels to 6.* squeezes nothing"),
        ("torchvision", changed(4, se_ratio=0.5), "to 8, a quarter; the network squeezes to 16"),
        ("torchvision", changed(4, channels=42), "stage 5: .* rounds 42 channels to 40"),
        ("timm", changed(0, se_ratio=0.25), "no squeeze-excite in a Fused-MBConv of expansion 1"),
        ("timm", changed(1, channels=25), "stage 2: timm rounds 25 channels to 24"),
        ("timm", changed(4, se_ratio=0.11), "timm squeezes 32 channels at 0.11 to 4, the network to 3"),
        ("automl", replace(EXCHANGEABLE, head_channels=65, padding="same"), "head_channels: .* rounds 65"),
        ("automl", replace(EXCHANGEABLE, stem_channels=17, padding="same"), "stem_channels: .* rounds 17"),
        (
            "timm",
            replace(EXCHANGEABLE, stages=(*EXCHANGEABLE.stages, *(EXCHANGEABLE.stages[4],) * 3)),
            "beyond a total stride of 32; this network's is 64",
        ),
    ],
)
def test_networks_that_a_format_cannot_express_are_refused_with_the_reason(
    format_name: str, architecture: Architecture, reason: str
) -> None:
    with pytest.raises(ConfigError, match=reason):
        to_text(format_name, architecture)


TIMM = '{"stem_size": 16, "num_features": 64, "arch_def": [["STRING"]]}'
AUTOML = '{"feature_size": 64, "blocks_args": ["STRING"]}'


@pytest.mark.parametrize(
    ("string", "reason"),
    [
        ("ir_r1_k3_s1_e1_c24", "a convolution that expands nothing"),
        ("er_r1_k3_s1_e1_c24", "Is cn meant"),
        ("cn_r1_k3_s1_e1_c24", "without 'skip'"),
        ("cn_r1_k3_s1_e1_c24_se0.25_skip", "timm ignores se in cn"),
        ("cn_r1_k3_s1_e4_c24_skip", "e4: timm does not expand in cn"),
        ("ir_r1_k3.5_s1_e4_c24", "k3.5: a whole number"),
        ("ir_r1_k8_s1_e4_c24", "8 is not one of 1, 3, 5, 7, 9, 11"),
        ("ir_r1_k3_s1_e4_c24_noskip", "'noskip' cannot be read"),
        ("ir_r1_k3_s1_e4_c24_nmi", "'nmi' cannot be read"),
        ("ir_r1_k3_s1_e4_c24_cc4", "'cc4' cannot be read"),
        ("ir_r1_r2_k3_s1_e4_c24", "'r' stands twice"),
        ("ir_k3_s1_e4_c24", "the token 'r' is missing"),
        ("ir_r0_k3_s1_e4_c24", "r0: at least one layer"),
        ("uir_r1_k3_s1_e4_c24", "'uir' is not a block that we have"),
        ("ir_r1_k3_s1_e4_c27", "rounds 27 channels to 32"),
        ("ir_r1_k3_s1_e4_c24_se2", "se_ratio: 2.0 is out of range"),
        ("", "'' is not a block"),
        ("ir_" + "r" * 300, "at most 200"),
    ],
)
def test_timm_strings_that_mean_another_block_are_refused(string: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        from_text("timm", TIMM.replace("STRING", string), name="x.json")


@pytest.mark.parametrize(
    ("string", "reason"),
    [
        ("r1_k3_s22_e4_i16_o24", "s22: a stride of one digit"),
        ("r1_k3_s1_e4_i16_o24_c2", "c2: c0"),
        ("r1_k3_s1_e4_i16_o24_f1", "'f1' cannot be read"),
        ("r1_k3_s1_e4_o24", "the token 'i' is missing"),
        ("r1_k3_s1_e4_i16_o27", "rounds 27 channels"),
        ("r1_k3_s3_e4_i16_o24", "3 is not one of 1, 2"),
    ],
)
def test_automl_strings_that_mean_another_block_are_refused(string: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        from_text("automl", AUTOML.replace("STRING", string), name="x.json")


def test_imported_stage_whose_input_channels_do_not_fit_is_refused() -> None:
    text = '{"feature_size": 64, "blocks_args": ["r1_k3_s1_e4_i16_o24", "r1_k3_s1_e4_i16_o24"]}'
    with pytest.raises(ConfigError, match=r"blocks_args\[1\]: i16, but what is before it has 24 channels"):
        from_text("automl", text, name="x.json")
    mapping = json.loads(to_text("torchvision", EXCHANGEABLE))
    mapping["inverted_residual_setting"][1]["input_channels"] = 8
    with pytest.raises(ConfigError, match=r"setting\[1\]: input_channels: 8, but what is before it has 16"):
        from_text("torchvision", json.dumps(mapping), name="x.json")

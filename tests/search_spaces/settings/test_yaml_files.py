"""Strict YAML: round trips, names of files, overrides, and the message that each mistake gets."""

from dataclasses import field, replace
from pathlib import Path
from typing import Annotated, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field
from pydantic.dataclasses import dataclass

from nas.search.config import SearchConfig, read_search_config
from search_spaces.choices.stage_choices import StageChoices
from search_spaces.networks.architecture import Architecture, Stage
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.near_names import suggestion
from search_spaces.settings.yaml_files import from_mapping, parse_yaml, read_yaml, write_yaml, yaml_text
from trials.recipe import Recipe

stages = st.builds(
    Stage,
    op=st.sampled_from(["mbconv", "fused_mbconv"]),
    kernel_size=st.sampled_from([3, 5]),
    stride=st.sampled_from([1, 2]),
    expansion_ratio=st.integers(1, 8),
    channels=st.integers(1, 2048),
    layers=st.integers(1, 40),
    se_ratio=st.floats(0, 1),
)
plain = (
    st.text(max_size=20) | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.booleans()
)
architectures = st.builds(
    Architecture,
    stem_channels=st.integers(1, 512),
    stem_stride=st.sampled_from([1, 2]),
    stages=st.lists(stages, min_size=1, max_size=5).map(tuple),
    head_channels=st.integers(1, 4096),
    padding=st.sampled_from(["symmetric", "same"]),
    provenance=st.none() | st.dictionaries(st.text(max_size=12), plain, max_size=4),
)


@settings(max_examples=100, deadline=None)
@given(architecture=architectures)
def test_architectures_survive_yaml(architecture: Architecture) -> None:
    text = yaml_text(architecture, header="one\ntwo")
    back = from_mapping(Architecture, parse_yaml(text, name="x.yaml"), name="x.yaml")
    assert back == architecture
    assert back.provenance == architecture.provenance


@pytest.mark.parametrize("name", sorted(path.stem for path in SearchConfig.SHIPPED.glob("*.yaml")))
def test_shipped_searches_are_valid_and_survive_yaml(name: str) -> None:
    config = read_search_config(name)
    assert from_mapping(SearchConfig, parse_yaml(yaml_text(config), name=name), name=name) == config


def test_stages_are_written_as_an_aligned_table() -> None:
    rows = [
        line
        for line in yaml_text(read_yaml(Architecture, "efficientnetv2-s")).splitlines()
        if line[:1] == "-"
    ]
    assert len({line.index("channels:") for line in rows}) == 1
    assert len({len(line) for line in rows}) == 1


def test_written_yaml_reads_back_and_leaves_no_temporary_file(tmp_path: Path) -> None:
    architecture = read_yaml(Architecture, "efficientnet-b0")
    write_yaml(architecture, tmp_path / "a.yaml")
    assert read_yaml(Architecture, tmp_path / "a.yaml") == architecture
    assert [path.name for path in tmp_path.iterdir()] == ["a.yaml"]


def test_a_written_file_has_the_permissions_of_any_new_one(tmp_path: Path) -> None:
    write_yaml({"a": 1}, tmp_path / "a.yaml")
    (tmp_path / "plain").write_text("")
    assert (tmp_path / "a.yaml").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_file_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").mkdir()
    with pytest.raises(OSError, match=r"a\.yaml"):
        write_yaml({"a": 1}, tmp_path / "a.yaml")
    assert [path.name for path in tmp_path.iterdir()] == ["a.yaml"]


def test_a_string_names_a_file_beside_then_a_shipped_one(tmp_path: Path) -> None:
    search = tmp_path / "s.yaml"
    lines = (
        "data: {source: digits}\nrecipe: mine\nstrategy: random_search\nreward: {}\nbudget: {trials: 20}\n"
    )
    search.write_text("space: tiny\n" + lines)
    with pytest.raises(ConfigError, match="recipe: 'mine': there is no such file"):
        read_search_config(search)
    (tmp_path / "mine.yaml").write_text("epochs 3")
    with pytest.raises(ConfigError, match=r"^mine\.yaml: holds text.*\(named in s\.yaml: recipe\)$"):
        read_search_config(search)
    (tmp_path / "mine.yaml").write_text("{epochs: 3, batch_size: 32, resolution: 16}")
    config = read_search_config(search)
    assert (config.recipe.epochs, config.space.stem_channels) == (3, 8)


def test_overrides_reach_into_named_files_and_are_checked_like_the_file() -> None:
    config = read_search_config(
        "quick", overrides=["space.stages[0].layers=[1]", "recipe.epochs=3", "seed=7"]
    )
    assert (config.space.stages[0].layers, config.recipe.epochs, config.seed) == ((1,), 3, 7)
    strategy = read_search_config("quick", overrides=["strategy={name: random_search}"]).strategy
    assert strategy.written == {"name": "random_search"}
    with pytest.raises(
        ConfigError, match=r"^--set recipe\.epoch=3: 'epoch' is not a key.*did you mean 'epochs'"
    ):
        read_search_config("quick", overrides=["recipe.epoch=3"])
    with pytest.raises(ConfigError, match="items are 0 to 3"):
        read_search_config("quick", overrides=["space.stages[9].layers=3"])


TWICE = "stem_channels: 8\nstem_channels: 9\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds nothing"),
        ("- 1\n- 2\n", "holds a list"),
        ("a: [1, 2\n", "not valid YAML"),
        (TWICE, "'stem_channels' stands here twice"),
        ("a: &x 1\nb: *x\n", "aliases"),
        ("a: !!python/object/apply:os.system ['true']\n", "tags"),
        ("a: 1\n---\nb: 2\n", "several documents"),
        ("a: " + "[" * 40 + "]" * 40, "nested more than 32 deep"),
        ("? [1, 2]\n: 3\n", "a list stands where a key is expected; write a plain word"),
        ("stem_channels: .nan", "nan is not a number that can be used"),
        ("stem_channels: .inf", "inf is not a number that can be used"),
        ("a: \x00", "not valid YAML"),
        ("stem_channels: 2026-13-45", "'2026-13-45' given; expected a whole number"),
    ],
)
def test_odd_files_are_refused_with_their_name(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=words) as caught:
        read_yaml(Architecture, path)
    assert str(caught.value).startswith("odd.yaml: ")


def test_binary_large_and_missing_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x01")
    (tmp_path / "large.yaml").write_text("# " + "x" * (1 << 20))
    for name, words in (
        ("binary.yaml", "not a text file"),
        ("large.yaml", "bytes"),
        ("none.yaml", "no such file"),
    ):
        with pytest.raises(ConfigError, match=words):
            read_yaml(Architecture, tmp_path / name)
    with pytest.raises(ConfigError, match="this is a folder"):
        read_yaml(Architecture, tmp_path)
    with pytest.raises(ConfigError, match="did you mean 'efficientnet-b0'"):
        read_yaml(Architecture, "efficientnet-b00")


GOOD_STAGE = {"op": "mbconv", "expansion_ratio": 4, "channels": 8, "layers": 1}
GOOD = {"stem_channels": 8, "head_channels": 16, "stages": [GOOD_STAGE]}


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"stem_channels": 0}, "stem_channels: 0 is out of range; it must be at least 1"),
        ({"stem_channels": "eight"}, "stem_channels: 'eight' given; expected a whole number"),
        ({"stem_channels": True}, "stem_channels: true given; expected a whole number"),
        ({"stem_channels": "8 px"}, "stem_channels: '8 px' given; expected a whole number; write 8, without"),
        ({"stem_channels": "1,024"}, "stem_channels: '1,024' given; expected a whole number; write 1024"),
        (
            {"stem_channels": "8"},
            "stem_channels: '8' given; expected a whole number; write 8, without",
        ),
        (
            {"stages": {"op": "mbconv", "layers": [1, True, None, "a b"]}},
            "stages: {op: mbconv, layers: [1, true, null, 'a b']} given; expected a list",
        ),
        (
            {"stem": {"op": "a"}},
            "stem: 'stem' is not a key here; keys are stem_channels, stem_stride,",
        ),
        ({"padding:same": None}, "padding:same: 'padding:same' is a key without a value; a space is missing"),
        ({"stem_stride": 3}, "stem_stride: 3 is not one of 1, 2"),
        (
            {"stages": []},
            "stages: an empty list given; expected at least 1 item, each a mapping with the keys op, ",
        ),
        (
            {"stages": [GOOD_STAGE] * 65},
            "stages: 65 items given; expected at most 64 items, each a mapping with the keys op, ",
        ),
        ({"stages": 5}, "stages: 5 given; expected a list"),
        ({"stages": [{"op": "mbconv"}]}, "stages[0].expansion_ratio: missing; expected a number"),
        ({"padding": "sam"}, "padding: 'sam' is not one of same, symmetric (did you mean 'same'?)"),
        ({"heads": 1}, "heads: 'heads' is not a key here; keys are"),
        (
            {"stages": [{"op": "fusd_mbconv", "expansion_ratio": 1, "channels": 1, "layers": 1}]},
            "stages[0].op: 'fusd_mbconv' is not an op; ops are basic, bottleneck, conv, convnext, "
            "fused_mbconv, mbconv, uib (did you mean 'fused_mbconv'?)",
        ),
    ],
)
def test_messages_name_file_place_finding_and_expectation(changes: dict[str, object], line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_mapping(Architecture, {**GOOD, **changes}, name="a.yaml")
    assert f"a.yaml: {line}" in str(caught.value)
    assert "pydantic" not in str(caught.value)


@dataclass(frozen=True)
class Lag:
    """A mapping beside a name."""

    fixed_lag: int


@dataclass(frozen=True)
class Lengths:
    """Values that have a least and a largest length, and ones of several kinds."""

    name: Annotated[str, Field(min_length=1, max_length=3)] = "a"
    pair: Annotated[tuple[float, ...], Field(min_length=2)] = (1, 2)
    one: Annotated[tuple[Literal[3, 5], ...], Field(max_length=1)] = ()
    weights: Annotated[dict[str, float], Field(min_length=1, max_length=2)] = field(
        default_factory=lambda: {"a": 1.0}
    )
    order: Literal["arrival", "rank"] | Lag = "arrival"
    side: Literal["max"] | int = 3


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ({"name": ""}, "name: empty text given; expected at least 1 character"),
        ({"name": "abcd"}, "name: 4 characters given; expected at most 3 characters"),
        ({"pair": []}, "pair: an empty list given; expected at least 2 items, each a number"),
        ({"pair": [1]}, "pair: 1 item given; expected at least 2 items, each a number"),
        ({"one": [3, 5]}, "one: 2 items given; expected at most 1 item, each one of 3, 5"),
        ({"weights": {}}, "weights: an empty mapping given; expected at least 1 key"),
        ({"weights": {"a": 1, "b": 1, "c": 1}}, "weights: 3 keys given; expected at most 2 keys"),
        (
            {"order": "arival"},
            "order: 'arival' given; expected arrival or rank or {fixed_lag: a whole number} "
            "(did you mean 'arrival'?)",
        ),
        (
            {"order": 3},
            "order: 3 given; expected arrival or rank or {fixed_lag: a whole number}; write {fixed_lag: 3}",
        ),
        ({"side": "maxx"}, "side: 'maxx' given; expected max or a whole number (did you mean 'max'?)"),
        ({"side": [1]}, "side: [1] given; expected max or a whole number"),
    ],
)
def test_messages_name_the_length_and_all_alternatives(value: dict[str, object], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_mapping(Lengths, value, name="a.yaml")
    assert str(caught.value) == f"a.yaml: {sentence}"


@pytest.mark.parametrize("value", [[], True, "8", [True]])
@pytest.mark.parametrize("name", ["channels", "se_ratio"])
def test_options_of_a_stage_are_at_least_one_number(name: str, value: object) -> None:
    stage = {"op": "mbconv", "kernel_size": 3, "expansion_ratio": 4, "channels": 8, "layers": 1}
    with pytest.raises(ConfigError, match=rf"^s\.yaml: {name}(\[0\])?: .* given; expected .*number"):
        from_mapping(StageChoices, {**stage, name: value}, name="s.yaml")


def test_a_name_that_stands_for_a_number_is_taken() -> None:
    assert from_mapping(Lengths, {"side": "max"}, name="a.yaml").side == "max"


def test_a_name_of_a_file_is_not_empty_text() -> None:
    with pytest.raises(ConfigError, match=r"^--set space=: nothing given; expected a mapping"):
        read_search_config("quick", overrides=["space="])
    with pytest.raises(ConfigError, match=r"^--set space='': empty text given; expected a mapping"):
        read_search_config("quick", overrides=["space=''"])


NETWORKS = tuple(f"efficientnet-b{size}" for size in range(9))


@pytest.mark.parametrize(
    ("found", "known", "words"),
    [
        ("efficientnet-bo", NETWORKS, " (did you mean 'efficientnet-b0'?)"),
        ("efficientnet-bl", NETWORKS, " (did you mean 'efficientnet-b1'?)"),
        ("efficientnet_B2", NETWORKS, " (did you mean 'efficientnet-b2'?)"),
        ("efficientnet-b9", NETWORKS, ""),  # all are equally near
        ("fp8", ("fp32", "fp16"), " (did you mean 'fp32' or 'fp16'?)"),
        ("abx", ("abc", "abd", "abe"), " (did you mean 'abc', 'abd' or 'abe'?)"),
        ("step", ("step_time_ratio", "params"), " (did you mean 'step_time_ratio'?)"),
        ("popluation", ("population", "tournament"), " (did you mean 'population'?)"),
        ("zzz", ("population", "tournament"), ""),
        ("x", (), ""),
    ],
)
def test_the_nearest_name_is_suggested_or_all_that_are_equally_near(
    found: str, known: tuple[str, ...], words: str
) -> None:
    assert suggestion(found, known) == words


def test_a_text_is_said_as_the_number_that_it_may_mean() -> None:
    short = {"epochs": 3, "batch_size": 32, "resolution": 16}
    for text, written in {"10%": "0.1", "0,5": "0.5", "5k": "5000", ".5 M": "500000"}.items():
        with pytest.raises(ConfigError, match=f"'{text}' given; expected a number; write {written}$"):
            from_mapping(Recipe, {**short, "learning_rate": text}, name="r.yaml")
    with pytest.raises(ConfigError, match="'16px' given; expected a number, or a mapping with the keys"):
        from_mapping(Recipe, {**short, "resolution": "16px"}, name="r.yaml")


def test_a_key_around_the_whole_file_is_one_too_many() -> None:
    with pytest.raises(ConfigError, match="'net' is not a key here; what stands in it is expected here"):
        from_mapping(Architecture, {"net": GOOD}, name="a.yaml")


def test_a_key_in_the_wrong_place_is_told_its_own(tmp_path: Path) -> None:
    lines = "space: tiny\ndata: {source: digits, resolution: 16}\nrecipe: proxy_digits\nreward: {}\n"
    (tmp_path / "s.yaml").write_text(lines + "strategy: random_search\nbaseline: 4\ntrials: 12\n")
    with pytest.raises(ConfigError) as caught:
        read_search_config(tmp_path / "s.yaml")
    said = str(caught.value)
    assert "trials: 'trials' is not a key here" in said
    assert "(did you mean 'budget.trials'?) (line 7)" in said
    assert "(did you mean 'recipe.resolution' or 'timing.resolution'?) (line 2)" in said


def test_a_file_of_another_kind_is_one_message() -> None:
    with pytest.raises(ConfigError) as caught:
        from_mapping(Recipe, GOOD, name="net.yaml")
    said = str(caught.value)
    assert said.startswith(
        "net.yaml: a mapping with the keys stem_channels, head_channels, stages given; expected"
    )
    assert len(said.splitlines()) == 1


def test_all_problems_of_a_file_are_named_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        from_mapping(Architecture, {**GOOD, "stem_channels": -1, "padding": "x", "extra": 1}, name="a.yaml")
    assert len(str(caught.value).splitlines()) == 3


def test_equal_networks_share_an_identity_and_others_do_not() -> None:
    base = from_mapping(Architecture, GOOD, name="a.yaml")
    stage = base.stages[0]
    two = replace(base, stages=(replace(stage, layers=2),))
    assert replace(base, stages=(stage, stage)).architecture_id == two.architecture_id
    variants = [
        base,
        two,
        replace(base, padding="same"),
        replace(base, stem_stride=1),
        replace(base, head_channels=17),
        *(
            replace(base, stages=(replace(stage, **change),))  # type: ignore[arg-type]
            for change in (
                {"op": "fused_mbconv"},
                {"kernel_size": 5},
                {"expansion_ratio": 1},
                {"op": "fused_mbconv", "expansion_ratio": 1},
                {"se_ratio": 0.25},
                {"stride": 2},
            )
        ),
    ]
    assert len({variant.architecture_id for variant in variants}) == len(variants)


def test_values_that_contradict_each_other_are_all_said_at_once() -> None:
    with pytest.raises(ConfigError) as refused:
        read_yaml(
            SearchConfig,
            "quick",
            overrides=["space.stages[0].layers=[0]", "space.stages[0].kernel_size=[3, 3]"],
        )
    said = str(refused.value)
    assert ("0 alone is a stage" in said, "an option stands twice" in said) == (True, True)
    overrides = ["budget.trials=3", "baseline=9", "strategy={name: successive_halving}", "bound_stopping={}"]
    with pytest.raises(ConfigError) as refused:
        read_yaml(SearchConfig, "quick", overrides=overrides)
    said = str(refused.value)
    for words in ("fewer than the random ones", "set recipe.schedule=constant; ", "leave bound_stopping out"):
        assert words in said

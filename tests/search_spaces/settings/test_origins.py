"""Who is blamed: the file that holds the line, or the option by which a value was given; never another."""

from pathlib import Path

import pytest
from small_files import ARCHITECTURE, SEARCH, SPACE

from nas.search.config import SearchConfig, read_search_config
from search_spaces.choices.space import SearchSpace
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.overrides import Override
from search_spaces.settings.yaml_files import from_mapping, read_yaml

BAD_SPACE = SPACE.replace("[3, 5]", "[3, 8]")
NO_KERNEL = "is not one of 1, 3, 5, 7, 9, 11"
BAD_ARCHITECTURE = ARCHITECTURE.replace("mbconv", "mbcnov")
ABSENT_STAGE = SPACE.replace("layers: [1, 2]}\n-", "layers: 0}\n-")
RECIPE = "epochs: 5\nbatch_size: 8\nresolution: 16\n"
ANOTHER_SPACE = SPACE.replace("efficientnet-b0", "ref")


@pytest.fixture(autouse=True)
def _in_its_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(**texts: str) -> None:
    for stem, text in texts.items():
        Path(f"{stem}.yaml").write_text(text)


def refusal(*overrides: str | Override, file: str = "mine.yaml") -> str:
    with pytest.raises(ConfigError) as caught:
        read_search_config(file, overrides=overrides)
    return str(caught.value)


def mine(**replaced: str) -> str:
    """A valid search file in which lines of these keys are others."""
    lines = dict(line.split(": ", 1) for line in SEARCH.splitlines())
    return "".join(f"{key}: {value}\n" for key, value in {**lines, **replaced}.items())


# ---------------------------------------------------------------------- files


def test_a_mistake_in_a_named_file_is_its_own_with_line_and_where_it_was_named() -> None:
    write(mine=mine(space="sp"), sp=BAD_SPACE)
    assert (
        refusal() == f"sp.yaml: stages[0].kernel_size[1]: 8 {NO_KERNEL} (line 3, named in mine.yaml: space)"
    )


def test_a_mistake_two_files_away_names_both_on_the_way() -> None:
    Path("nets").mkdir()
    write(mine=mine(space="sp"), sp=SPACE.replace("efficientnet-b0", "nets/ref.yaml"))
    Path("nets/ref.yaml").write_text(BAD_ARCHITECTURE)
    said = refusal()
    assert said.startswith("nets/ref.yaml: stages[0].op: 'mbcnov' is not an op")
    assert said.endswith("(line 3, named in sp.yaml: reference, which is named in mine.yaml: space)")


def test_a_broken_line_two_files_away_is_said_of_its_file() -> None:
    write(mine=mine(space="sp"), sp=ANOTHER_SPACE, ref="stem_channels 8\nhead_channels: 16\n")
    said = refusal()
    assert said.startswith(
        "ref.yaml: line 1, column 1: not valid YAML: a ':' is missing in 'stem_channels 8'"
    )
    assert said.endswith("(named in sp.yaml: reference, which is named in mine.yaml: space)")


@pytest.mark.parametrize(
    ("place", "value", "text", "said"),
    [
        ("recipe", "x", RECIPE.replace("5", "0"), "epochs: 0 is out of range"),
        (
            "recipe",
            "x",
            RECIPE.replace("16", "4"),
            "resolution: 4 is out of range; it must be between 8 and 2048 pixels",
        ),
        ("recipe", "x", "", "holds nothing; a mapping (key: value lines) is expected, with the keys epochs"),
        ("initial[1]", "[efficientnet-b0, x]", BAD_ARCHITECTURE, "stages[0].op: 'mbcnov' is not an op"),
        ("space", "x", SPACE.replace("reference", "#"), "reference: missing; expected a mapping"),
        ("space", "x", ABSENT_STAGE, "stages[0].layers: 0 alone is a stage that is never there"),
    ],
)
def test_every_kind_of_file_and_mistake_is_blamed_alike(place: str, value: str, text: str, said: str) -> None:
    write(mine=mine(**{place.partition("[")[0]: value}), x=text)
    message = refusal()
    assert message.startswith(f"x.yaml: {said}")
    assert f"named in mine.yaml: {place})" in message


def test_a_file_that_is_not_there_is_missed_where_it_is_named() -> None:
    write(mine=mine(space="sp"), sp=SPACE.replace("efficientnet-b0", "b0"))
    said = refusal()
    assert said.startswith("sp.yaml: reference: 'b0': there is no such file, and no shipped one of that name")
    assert said.endswith("(line 6, named in mine.yaml: space)")


def test_names_that_no_file_can_have_are_refused() -> None:
    write(mine=mine(space='"a\\0b"'))
    assert refusal().startswith("mine.yaml: space: 'a\\x00b': there is no such file")
    write(mine=mine(space="a" * 300))
    assert "there is no such file" in refusal()


def test_a_folder_beside_the_file_is_no_file() -> None:
    Path("elsewhere/sp").mkdir(parents=True)
    Path("elsewhere/mine.yaml").write_text(mine(space="sp"))
    assert "mine.yaml: space: 'sp': this is a folder; a YAML file" in refusal(file="elsewhere/mine.yaml")


# ---------------------------------------------------------------------- files called like what they name


def test_a_search_called_like_the_shipped_space_that_it_names_reads_the_shipped_one() -> None:
    write(tiny=mine())
    shipped = read_yaml(SearchSpace, SearchSpace.SHIPPED / "tiny.yaml")
    assert read_search_config("tiny.yaml").space == shipped
    assert read_search_config("tiny.yaml", overrides=["space=tiny"]) == read_search_config("tiny.yaml")


def test_a_search_called_like_the_shipped_recipe_that_it_names_reads_the_shipped_one() -> None:
    write(proxy_digits=mine())
    assert read_search_config("proxy_digits.yaml").recipe.epochs == 8


def test_a_space_called_like_its_reference_reads_the_shipped_one() -> None:
    Path("efficientnet-b0.yaml").write_text(SPACE)
    assert read_yaml(SearchSpace, "efficientnet-b0.yaml").reference.stem_channels == 32


def test_a_file_beside_comes_before_the_shipped_one() -> None:
    write(mine=mine(), tiny=SPACE.replace("head_channels: 32", "head_channels: 48"))
    assert read_search_config("mine.yaml").space.head_channels == 48


def test_a_file_that_names_itself_is_refused() -> None:
    write(mine=mine(space="mine.yaml"))
    said = "this is a circle: mine.yaml names mine.yaml; name another file (line 1)"
    assert refusal() == f"mine.yaml: space: 'mine.yaml': {said}"


def test_a_circle_of_two_files_is_refused_with_both() -> None:
    write(mine=mine(space="sp"), sp=SPACE.replace("efficientnet-b0", "mine"))
    assert refusal() == (
        "sp.yaml: reference: 'mine': this is a circle: mine.yaml names sp.yaml, which names mine.yaml; name "
        "another file (line 6, named in mine.yaml: space)"
    )


# ---------------------------------------------------------------------- options


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("recipe.epochs=abc", "'abc' given; expected a whole number"),
        ("recipe.epochs=0", "0 is out of range; it must be at least 1"),
        ("recipe.epoch=3", "'epoch' is not a key here (did you mean 'epochs'?)"),
        ("bugdet={trials: 5}", "'bugdet' is not a key here; keys are space"),
        ("data={source: digits, minval: 0.1}", "minval: 'minval' is not a key here; keys are source"),
        ("space.stages[9].op=mbconv", "there is no item 9; items are 0 to 3"),
        ("space.stages[0].layers=[0]", "0 alone is a stage that is never there"),
        ("space.stages[0].op=mbcnov", "'mbcnov' is not an op"),
        ("seed.low=3", "'low' is inside a plain value (0)"),
        ("seed=[1", "the value is not valid YAML: ',' or ']' expected"),
        ("seed=", "nothing given; expected a whole number"),
        ("data=&a {source: *a}", "the value is not valid YAML: aliases (&, *) are not used here"),
        ("recipe.momentum=.nan", "nan is not a number that can be used here"),
        ("strategy.temprature=3", "predictor has no such setting; its settings are"),
        ("strategy=evolutoin", "'evolutoin' is not a strategy; strategies are"),
        ("budget={}", "give one of trials, epochs and device_seconds; found none"),
        ("recipe=proxy_digit", "'proxy_digit': there is no such file"),
        ("initial=[efficientnet-b0, b]", "[1]: 'b': there is no such file"),
    ],
)
def test_a_wrong_option_is_blamed_as_it_was_typed(override: str, said: str) -> None:
    assert refusal(override, file="quick").startswith(f"--set {override}: {said}")


def test_paths_that_no_file_has_are_refused() -> None:
    assert refusal("strategy.²=3", file="quick").startswith("--set strategy.²=3")
    assert "more than 32 keys" in refusal(f"strategy{'.a' * 2000}=3", file="quick")
    assert refusal(f"space.stages[{'9' * 5000}]=3", file="quick").endswith("items are 0 to 3")


@pytest.mark.parametrize("override", ["seed", "=3", "a..b=3", "a[=3", "a b=3", ".a=3", "a[x]=3"])
def test_an_option_that_is_no_override_is_refused_with_an_example(override: str) -> None:
    said = f"--set {override}: expected key.path=value, as in --set budget.trials=100"
    assert refusal(override, file="quick") == said


def test_a_mistake_in_a_file_that_an_option_names_is_the_files() -> None:
    write(mine=mine(), sp=BAD_SPACE)
    said = f"sp.yaml: stages[0].kernel_size[1]: 8 {NO_KERNEL} (line 3, named in --set space=sp.yaml)"
    assert refusal("space=sp.yaml") == said
    said = f"--set space.stages[0].kernel_size=6: 6 {NO_KERNEL}"
    assert refusal("space=sp.yaml", "space.stages[0].kernel_size=6") == said


def test_a_long_option_is_shortened() -> None:
    said = refusal(f"space={'a' * 500}", file="quick")
    assert said.startswith("--set space=aaa")
    assert len(said) < 400


def test_an_option_of_another_name_is_blamed_by_that_name() -> None:
    write(mine=mine(), net=BAD_ARCHITECTURE)
    option = Override("initial", '["net.yaml"]', typed="--init net.yaml")
    assert "net.yaml: stages[0].op" in refusal(option)
    assert "named in --init net.yaml" in refusal(option)
    items = ("--init efficientnet-b0", "--init net.yaml")
    option = Override("initial", '["efficientnet-b0", "net.yaml"]', " ".join(items), items)
    assert refusal(option).startswith("net.yaml: stages[0].op")
    assert "named in --init net.yaml)" in refusal(option)
    option = Override("initial", '["efficientnet-b0", "x.yaml"]', " ".join(items), items)
    assert refusal(option).startswith("--init net.yaml: 'x.yaml': there is no such file")
    assert refusal(Override("seed", "-1", typed="--seed -1")).startswith("--seed -1: -1 is out of range")


def test_a_check_of_several_fields_names_the_option_that_gave_one_of_them() -> None:
    write(mine=mine())
    lower = "lower baseline, or raise budget.trials"
    said = f"budget.trials: 12, fewer than the random ones of baseline (13); {lower} (line 7)"
    assert refusal("baseline=13", "seed=1") == f"--set baseline=13, with mine.yaml: {said}"
    said = f"3, fewer than the random ones of baseline (4); {lower}"
    assert refusal("budget.trials=3", "seed=1") == f"--set budget.trials=3: {said}"
    assert refusal("seed=1", "budget={trials: 3}") == f"--set budget={{trials: 3}}: trials: {said}"


def test_a_check_that_fails_for_the_file_alone_is_the_files() -> None:
    write(mine=mine(baseline="40"))
    assert refusal("seed=1").startswith("mine.yaml: budget.trials: 12, fewer than")


def test_an_option_is_blamed_for_a_check_within_a_named_file() -> None:
    write(mine=mine(recipe="long"), long="epochs: 8\nbatch_size: 64\nresolution: 32\nwarmup_epochs: 4\n")
    said = refusal("recipe.epochs=3", "seed=3")
    assert said.startswith("--set recipe.epochs=3, with long.yaml: warmup_epochs: 4, but epochs is only 3")
    assert said.endswith("(line 4, named in mine.yaml: recipe)")


def test_the_later_of_two_options_for_one_value_is_blamed() -> None:
    write(mine=mine())
    assert refusal("budget.trials=3", "budget.trials=2").startswith("--set budget.trials=2: 2, fewer")


def test_values_that_lie_in_no_file_are_blamed_by_the_given_name() -> None:
    with pytest.raises(ConfigError, match=r"^nas train: data: missing"):
        from_mapping(SearchConfig, {"space": "tiny"}, name="nas train")
    with pytest.raises(ConfigError, match=r"^--space tinny: 'tinny': there is no such file.*'tiny'"):
        from_mapping(SearchConfig, {"space": "tinny"}, name="nas train", typed={("space",): "--space tinny"})

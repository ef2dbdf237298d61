"""Messages about a wrong file tell all its mistakes at once, in its order, with units."""

from pathlib import Path

import pytest
from tiny_searches import tiny_search

from nas.search.config import SearchConfig
from search_spaces.choices.space import SearchSpace
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.yaml_files import read_yaml


def test_all_kinds_of_mistakes_are_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    """An infinite number, text for a number, a name that is none, a rule of several fields, a missing key."""
    file = tmp_path / "space.yaml"
    file.write_text(
        "stem_channels: .inf\n"
        "stages:\n"
        "  - {op: mbconv, kernel_size: 4, expansion_ratio: yes, layers: 1, channels: 24.5}\n"
        "  - {op: mbconv, kernel_size: 3, expansion_ratio: 1, layers: 0, channels: 24}\n"
        'head_channels: "128"\n'
    )
    with pytest.raises(ConfigError) as refused:
        read_yaml(SearchSpace, file)
    said = [line.removeprefix("space.yaml: ") for line in str(refused.value).splitlines()]
    assert said[:-1] == [
        "stem_channels: inf is not a number that can be used here; give a finite one (line 1)",
        "stages[0].expansion_ratio: 'yes' given; expected a number, or a list of several (line 3)",
        "stages[0].kernel_size: 4 is not one of 1, 3, 5, 7, 9, 11 (line 3)",
        "stages[0].channels: 24.5 given; expected a whole number, or a list of several (line 3)",
        "stages[1].layers: 0 alone is a stage that is never there; leave the stage out (line 4)",
        "head_channels: '128' given; expected a whole number; write 128, without quotes (line 5)",
    ]
    assert said[-1].startswith("reference: missing; expected")


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (0, "0 is out of range; it must be above 0 seconds"),
        ("abc", "'abc' given; expected a number of seconds"),
    ],
)
def test_numbers_with_a_unit_are_asked_for_in_it(value: object, sentence: str) -> None:
    with pytest.raises(ConfigError, match=f"trial_timeout: {sentence}"):
        tiny_search(trial_timeout=value)


def test_a_file_that_is_not_there_hides_no_other_mistake(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(
        "space: photoz\n"
        "data: {source: digits}\n"
        "recipe: proxy_cifat\n"
        "strategy: evolution\n"
        "reward: {params: -0.05}\n"
        "budget: {trials: ten}\n"
        "seed: x\n"
    )
    with pytest.raises(ConfigError) as refused:
        read_yaml(SearchConfig, file)
    said = str(refused.value).splitlines()
    assert [line.split(": ")[1] for line in said] == ["space", "recipe", "budget.trials", "seed"]
    assert "(did you mean 'proxy_cifar'?)" in said[1]
    (tmp_path / "tiny-recipe.yaml").write_text("epochs: 1\nresolution: 16\nbatch_size: 32\n")
    with pytest.raises(ConfigError) as refused:
        read_yaml(SearchConfig, file, overrides=["space=tiny", "recipe=tiny-recipe", "seed=1"])
    assert "photoz" not in str(refused.value)


@pytest.mark.parametrize("value", [0, 1, 0.0, "y", "t", "1"])
def test_what_is_neither_true_nor_false_is_not_taken_for_it(value: object) -> None:
    with pytest.raises(ConfigError, match=r"recipe.flip: .* given; expected true or false"):
        tiny_search(recipe={"epochs": 1, "flip": value})


def test_a_misspelt_key_is_one_mistake_and_not_a_missing_one_too() -> None:
    with pytest.raises(ConfigError) as refused:
        tiny_search(finalists={"cuont": 3, "repeats": 2})
    assert "(did you mean 'count'?)" in str(refused.value)
    assert "missing" not in str(refused.value)


def test_a_letter_that_only_looks_like_the_right_one_is_named() -> None:
    name = "\N{CYRILLIC SMALL LETTER DZE}eed"
    with pytest.raises(ConfigError, match=r"did you mean 'seed'\? The '.' given is U\+0455\)"):
        tiny_search(**{name: 1})


def test_bounds_are_written_as_plain_numbers() -> None:
    with pytest.raises(ConfigError, match="it must be below 9223372036854775808"):
        tiny_search(seed=10**20)

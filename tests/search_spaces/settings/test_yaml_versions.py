"""Words that YAML 1.1 and 1.2 read differently, where a number, true or false is expected."""

import re
from pathlib import Path

import pytest

from nas.search.config import read_search_config
from search_spaces.settings.config_error import ConfigError


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            "budget: {trials: 1:30:30}",
            "trials: '1:30:30' given; expected a whole number; colons are",
        ),
        (
            "budget: {trials: 017}",
            "line 5, column 18: 017 has leading zeros, which some programs",
        ),
        ("budget: {trials: 0b11}", "budget.trials: '0b11' given; expected a whole number"),
        ("budget: {trials: 1__0}", "budget.trials: '1__0' given; expected a whole number"),
        ("budget: {trials: 2026-11-30}", "budget.trials: '2026-11-30' given; expected a whole number"),
        ("budget: {trials: yes}", "budget.trials: 'yes' given; expected a whole number"),
        (
            "budget: {trials: 20}\nstall_timeout: 1:30",
            "expected a number of seconds; colons are not read as one number: write 90, if that is meant",
        ),
        ("budget: {trials: 20}\nstall_timeout: 0100", "0100 has leading zeros"),
        ("budget: {trials: 20}\nseed: .inf", "seed: inf is not a number that can be used"),
    ],
)
def test_what_yaml_1_1_takes_for_another_number_is_refused(line: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(
        f"space: tiny\ndata: {{source: digits}}\nrecipe: proxy_digits\nreward: {{}}\n{line}\n"
        "strategy: random_search\nbaseline: 2\n"
    )
    with pytest.raises(ConfigError, match=re.escape(words)):
        read_search_config(tmp_path / "s.yaml")


@pytest.mark.parametrize(("word", "value"), [("yes", True), ("on", True), ("no", False), ("off", False)])
def test_words_that_yaml_1_1_takes_for_true_or_false_mean_that_where_it_is_expected(
    word: str, value: bool
) -> None:
    assert read_search_config("quick", overrides=[f"recipe.flip={word}"]).recipe.flip is value
    assert read_search_config("quick", overrides=[f"data.source={word}"]).data.source == word

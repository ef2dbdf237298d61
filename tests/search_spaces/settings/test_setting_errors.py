"""A setting that proves wrong after its file was read is told with the file, the line and the options."""

from pathlib import Path

import pytest
from small_files import SEARCH, SPACE

from nas.search.config import SearchConfig
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.setting_errors import SettingError, naming_origins

LIMITS = SettingError(("space", "limits"), "nothing fits")


def said(error: SettingError, *overrides: str) -> str:
    with (
        pytest.raises(ConfigError) as caught,
        naming_origins(SearchConfig, "mine.yaml", overrides=overrides),
    ):
        raise error
    return str(caught.value)


@pytest.fixture(autouse=True)
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text(SEARCH.replace("tiny", "sp"))
    Path("sp.yaml").write_text(SPACE + "limits: {params: 1000}\n")


def test_the_file_is_named_with_its_line_and_where_it_was_named() -> None:
    assert said(LIMITS, "seed=3") == "sp.yaml: limits: nothing fits (line 7, named in mine.yaml: space)"


def test_an_option_that_gives_a_part_of_the_setting_is_named_before_its_file() -> None:
    expected = "--set space.limits.params=9, with sp.yaml: limits: nothing fits"
    assert said(LIMITS, "seed=3", "space.limits.params=9").startswith(expected)


def test_an_option_that_gives_the_setting_is_named_alone() -> None:
    expected = "--set space.limits={params: 9}: nothing fits"
    assert said(LIMITS, "space.limits={params: 9}", "seed=3") == expected


def test_an_option_on_which_the_setting_depends_is_named() -> None:
    error = SettingError(("space",), "too small", [("recipe", "resolution")])
    assert said(error, "recipe.resolution=16", "seed=3").startswith(
        "--set recipe.resolution=16, with sp.yaml: too small"
    )


def test_the_line_stands_before_a_list_of_differences() -> None:
    error = SettingError(("baseline",), "differs:\n  4, not 3")
    assert said(error) == "mine.yaml: baseline: differs (line 6):\n  4, not 3"


def test_a_file_that_is_gone_leaves_the_key() -> None:
    Path("mine.yaml").unlink()
    assert said(LIMITS) == "space.limits: nothing fits"

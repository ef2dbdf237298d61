"""Search files, keys and values that the documents show are read as they stand, and none is left out."""

import dataclasses
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from documents import DOCS, DOCUMENTS, called, code_spans, fenced, typed, words
from places import REPOSITORY

from nas.search.config import SearchConfig, read_search_config
from nas.strategies.table import STRATEGIES
from search_spaces.choices.limits import Limits
from search_spaces.choices.space import SearchSpace
from search_spaces.settings.yaml_files import read_yaml
from trials.images.config import DataConfig
from trials.recipe import Recipe
from trials.trial import Timing

SEARCH_FILE = (DOCS / "search_file.md").read_text()
STRATEGY_ROWS = re.findall(r"^\| `(\w+)` \| .+ \|(.*)\|$", (DOCS / "strategies.md").read_text(), flags=re.M)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder, the current one, with the files that documents show, named by their first line."""
    monkeypatch.chdir(tmp_path)
    for document in DOCUMENTS:
        for block in fenced(document.read_text(), "yaml"):
            if name := re.match(r"# (\S+\.yaml)\n", block):
                (tmp_path / name[1]).write_text(block)
    return tmp_path


@pytest.mark.parametrize("document", DOCUMENTS, ids=called)
def test_yaml_that_documents_show_is_read(document: Path, files: Path) -> None:
    blocks = fenced(document.read_text(), "yaml")
    assert blocks or document.name not in ("README.md", "search_file.md") or document.parent.name != "docs"
    for i, block in enumerate(blocks):
        path = files / f"block_{i}.yaml"
        path.write_text(block)
        read_yaml(SearchSpace if "stages" in yaml.safe_load(block) else SearchConfig, path)


def base_of(name: str) -> Path | str:
    """The search file that a command names, if it is ours, or the paper's."""
    ours = REPOSITORY / name
    shipped = REPOSITORY / "nas" / "searches" / f"{name}.yaml"
    return ours if ours.is_file() else name if shipped.is_file() else "efficientnetv2"


def replaced(command: list[str]) -> list[str]:
    """Values of a command's --set options."""
    return [value for option, value in pairwise(command) if option == "--set"]


@pytest.mark.parametrize("document", DOCUMENTS, ids=called)
def test_values_that_commands_replace_are_accepted(document: Path, files: Path) -> None:
    for command in map(words, typed(document.read_text())):
        if command[1] == "search" and len(command) > 2:
            read_search_config(base_of(command[2]), overrides=replaced(command))
        if command[1] == "train":
            own = [value.removeprefix("recipe.") for value in replaced(command)]
            read_yaml(Recipe, "cifar10", overrides=own)


@pytest.mark.parametrize("document", DOCUMENTS, ids=called)
def test_values_in_the_text_are_accepted(document: Path, files: Path) -> None:
    for span in code_spans(document.read_text()):
        if span.startswith("--set ") and "=" in span and span != "--set key.path=value":
            read_search_config("cifar10", overrides=replaced(words(span)))


def keys_of(text: str) -> list[list[str]]:
    """The `key: value` pairs in the first column of the tables, by row."""
    rows = re.findall(r"^\| (`[^|]+) \|", text, flags=re.M)
    found = [[span for span in re.findall(r"`([^`]+)`", row) if ": " in span] for row in rows]
    return [spans for spans in found if spans]


@pytest.mark.parametrize("spans", keys_of(SEARCH_FILE), ids=lambda spans: spans[0])
def test_examples_in_the_tables_of_keys_are_accepted(spans: list[str], files: Path) -> None:
    overrides = [f"{key}={value}" for key, _, value in (span.partition(": ") for span in spans)]
    read_search_config("efficientnetv2", overrides=overrides)


@pytest.mark.parametrize(
    ("page", "settings"),
    [
        ("search_file.md", SearchConfig),
        ("search_file.md", Recipe),
        ("search_file.md", Limits),
        ("search_file.md", Timing),
        ("data.md", DataConfig),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_every_key_is_explained(page: str, settings: Any) -> None:
    named = set(re.findall(r"\w+", " ".join(code_spans((DOCS / page).read_text()))))
    assert {field.name for field in dataclasses.fields(settings)} - named == set()


@pytest.mark.parametrize("folder", ["nas/searches", "search_spaces/spaces", "trials/recipes"])
def test_every_shipped_file_is_named(folder: str) -> None:
    text = SEARCH_FILE + (DOCS / "winner_to_weights.md").read_text()
    shipped = {path.stem for path in (REPOSITORY / folder).glob("*.yaml")}
    assert shipped - {name for span in code_spans(text) for name in span.split(", ")} == set()


def test_every_strategy_is_explained() -> None:
    assert {name for name, _ in STRATEGY_ROWS} == STRATEGIES.keys()


@pytest.mark.parametrize(("name", "settings"), STRATEGY_ROWS, ids=[name for name, _ in STRATEGY_ROWS])
def test_settings_of_each_strategy_are_named(name: str, settings: str) -> None:
    fields = {field.name for field in dataclasses.fields(STRATEGIES[name].Settings)}
    assert set(re.findall(r"`(\w+)`", settings)) == fields

"""Search files, keys and values that the documents show are read as they stand, and none is left out."""

import dataclasses
import re
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from documents import DOCS, DOCUMENTS, called, code_spans, fenced, typed, words
from full_trainings import CONFIG
from places import REPOSITORY

from nas.interchange.around import write_space_around
from nas.search.config import SearchConfig, read_search_config
from nas.strategies.table import STRATEGIES
from nas.training.config import TrainingConfig
from search_spaces.choices.limits import Limits
from search_spaces.choices.space import SearchSpace
from search_spaces.choices.stage_choices import StageChoices
from search_spaces.settings.yaml_files import from_mapping, read_yaml, to_mapping
from trials.images.config import DataConfig
from trials.measurement import Timing
from trials.recipe import Recipe

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
    for name, text in spaces_around().items():
        (tmp_path / name).write_text(text)
    return tmp_path


@cache
def spaces_around() -> dict[str, str]:
    """Files of the commands nas space that documents show, by name."""
    commands = [command for document in DOCUMENTS for command in map(words, typed(document.read_text()))]
    return {
        command[command.index("-o") + 1]: write_space_around(command[2]).text
        for command in commands
        if command[1] == "space" and "-o" in command
    }


SHOWN = [
    pytest.param(block, id=f"{called(document)} {i}")
    for document in DOCUMENTS
    for i, block in enumerate(fenced(document.read_text(), "yaml"))
]


@pytest.mark.parametrize("block", SHOWN)
def test_yaml_that_documents_show_is_read(block: str, files: Path) -> None:
    (files / "block.yaml").write_text(block)
    kind = SearchSpace if "stages" in yaml.safe_load(block) else SearchConfig
    read = to_mapping(read_yaml(kind, files / "block.yaml"))
    assert yaml.safe_load(block).keys() <= read.keys()


def base_of(name: str) -> Path | str:
    """The search file that a command names, if it is ours, or the paper's."""
    ours = REPOSITORY / name
    shipped = REPOSITORY / "nas" / "searches" / f"{name}.yaml"
    return ours if ours.is_file() else name if shipped.is_file() else "efficientnetv2"


def replaced(command: list[str]) -> list[str]:
    """Values of a command's --set options."""
    return [value for option, value in pairwise(command) if option == "--set"]


def check_value(settings: Any, key: str, written: str) -> None:
    """Settings have this value there: as it is written, or read by its name or from its file."""
    found, value = to_mapping(settings), yaml.safe_load(written)
    for part in key.split("."):
        found = found[part]
    if isinstance(value, dict) and isinstance(found, dict):
        assert {name: found[name] for name in value} == value
    elif isinstance(value, str) and isinstance(found, dict):
        assert found["name"] == value if "name" in found else found
    elif isinstance(value, list) and any(isinstance(item, dict) for item in found):
        assert len(found) == len(value)
    else:
        assert found == value


COMMANDS = [
    pytest.param(command, id=f"{called(document)}: {' '.join(command[1:])[:60]}")
    for document in DOCUMENTS
    for command in map(words, typed(document.read_text()))
    if (command[1] == "search" and len(command) > 2) or command[1] == "train"
]


@pytest.mark.parametrize("command", COMMANDS)
def test_values_that_commands_replace_are_read(command: list[str], files: Path) -> None:
    settings: Any
    if command[1] == "search":
        settings, own = (
            read_search_config(base_of(command[2]), overrides=replaced(command)),
            replaced(command),
        )
    else:
        own = replaced(command)
        training = {**to_mapping(CONFIG), "recipe": "cifar10"}
        settings = from_mapping(TrainingConfig, training, name="nas train", overrides=own)
    for override in own:
        key, _, written = override.partition("=")
        check_value(settings, key, written)


SPANS = [
    pytest.param(span, id=f"{called(document)}: {span}")
    for document in DOCUMENTS
    for span in code_spans(document.read_text())
    if span.startswith("--set ") and "=" in span and span != "--set key.path=value"
]


@pytest.mark.parametrize("span", SPANS)
def test_values_in_the_text_are_read(span: str, files: Path) -> None:
    (override,) = replaced(words(span))
    key, _, written = override.partition("=")
    check_value(read_search_config("cifar10", overrides=[override]), key, written)


def keys_of(text: str) -> list[list[str]]:
    """The `key: value` pairs in the first column of the tables, by row."""
    rows = re.findall(r"^\| (`[^|]+) \|", text, flags=re.M)
    found = [[span for span in re.findall(r"`([^`]+)`", row) if ": " in span] for row in rows]
    return [spans for spans in found if spans]


@pytest.mark.parametrize("spans", keys_of(SEARCH_FILE), ids=lambda spans: spans[0])
def test_examples_in_the_tables_of_keys_are_read(spans: list[str], files: Path) -> None:
    examples = [(key, value) for key, _, value in (span.partition(": ") for span in spans)]
    config = read_search_config("efficientnetv2", overrides=[f"{key}={value}" for key, value in examples])
    for key, value in examples:
        check_value(config, key, value)


@pytest.mark.parametrize(
    ("page", "settings"),
    [
        ("search_file.md", SearchConfig),
        ("search_file.md", Recipe),
        ("search_file.md", SearchSpace),
        ("search_file.md", StageChoices),
        ("search_file.md", Limits),
        ("search_file.md", Timing),
        ("data.md", DataConfig),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_documents_explain_every_key_of_a_search_file(page: str, settings: Any) -> None:
    named = set(re.findall(r"\w+", " ".join(code_spans((DOCS / page).read_text()))))
    assert {field.name for field in dataclasses.fields(settings)} - named == set()


@pytest.mark.parametrize("folder", ["nas/searches", "search_spaces/spaces", "trials/recipes"])
def test_documents_name_every_shipped_file(folder: str) -> None:
    text = SEARCH_FILE + (DOCS / "winner_to_weights.md").read_text()
    shipped = {path.stem for path in (REPOSITORY / folder).glob("*.yaml")}
    assert shipped - {name for span in code_spans(text) for name in span.split(", ")} == set()


def test_documents_explain_every_strategy() -> None:
    assert {name for name, _ in STRATEGY_ROWS} == STRATEGIES.keys()


@pytest.mark.parametrize(("name", "settings"), STRATEGY_ROWS, ids=[name for name, _ in STRATEGY_ROWS])
def test_documents_name_the_settings_of_each_strategy(name: str, settings: str) -> None:
    fields = {field.name for field in dataclasses.fields(STRATEGIES[name].Settings)}
    assert set(re.findall(r"`(\w+)`", settings)) == fields

"""What the documents name exists: commands, options, files, names of the code, pages and their headings."""

import importlib
import re
import tomllib
from collections import Counter
from pathlib import Path

import pytest
from documents import (
    COMMANDS,
    DOCS,
    DOCUMENTS,
    README,
    anchors,
    called,
    code_spans,
    links,
    options,
    typed,
    unknown,
)
from places import PACKAGES, REPOSITORY

from nas.commands.options import Executor

FOLDERS = (*PACKAGES, "tests", "docs")
# Of docker, Slurm, timm, and every command.
OTHERS_OPTIONS = {
    *("--gpus", "--build-arg", "--signal", "--help"),
    *("--train-img-sizes", "--train-size-schedule"),
}
each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=called)


@each_document
def test_commands_that_documents_name_exist(document: Path) -> None:
    commands = typed(document.read_text())
    assert commands or document != README
    assert {command: unknown(command) for command in commands if unknown(command)} == {}


def test_a_wrong_option_or_command_in_a_document_is_found() -> None:
    (command,) = typed("text\n\n    nas search a.yaml --wrokers 2   # no such\n")
    assert unknown(command) == ["--wrokers"]
    assert unknown("nas serach a.yaml") == ["serach"]
    (inline,) = typed("as `nas train\nwinner.yaml --recipes full_s` does")
    assert unknown(inline) == ["--recipes"]


@each_document
def test_options_that_documents_name_exist(document: Path) -> None:
    benchmarks = "".join(path.read_text() for path in (REPOSITORY / "tests" / "benchmarks").rglob("*.py"))
    known = set().union(*map(options, COMMANDS)) | {"--version"} | OTHERS_OPTIONS
    spans = " ".join(code_spans(document.read_text()))
    named = set(re.findall(r"(?<!\S)--[a-z][a-z0-9-]*", spans))
    assert {word for word in named - known if f'"{word}"' not in benchmarks} == set()


def test_every_option_of_a_search_and_every_executor_is_on_a_page() -> None:
    text = " ".join(document.read_text() for document in DOCUMENTS)
    missing = {option for option in options("search") - {"--help", "--json"} if f"{option}" not in text}
    assert missing == set()
    assert {each.value for each in Executor if f"| `{each.value}`" not in text} == set()


@each_document
def test_targets_and_marks_in_the_text_exist(document: Path) -> None:
    text = document.read_text()
    targets = set(re.findall(r"^([a-z]+):", (REPOSITORY / "Makefile").read_text(), flags=re.M))
    assert set(re.findall(r"(?:`| {4})make ([a-z]+)", text)) <= targets
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    marks = {mark.partition(":")[0] for mark in settings["tool"]["pytest"]["ini_options"]["markers"]}
    assert set(re.findall(r"`pytest -m (\w+)", text)) <= marks
    extras = re.findall(r"-e '\.\[(\w+)\]'", text)
    assert set(extras) <= settings["project"]["optional-dependencies"].keys()


@each_document
def test_files_in_the_text_and_in_commands_exist(document: Path) -> None:
    text = document.read_text()
    spoken = " ".join([*code_spans(text), *re.findall(r"^ {4}.*$", text, flags=re.M)])
    named = set(re.findall(rf"(?<![\w/.$-])(?:{'|'.join(FOLDERS)})/[\w./*-]*\w", spoken))
    assert {name for name in named if not list(REPOSITORY.glob(name))} == set()


@each_document
def test_names_of_the_code_in_the_text_are_there_and_documented(document: Path) -> None:
    spans = " ".join(code_spans(document.read_text()))
    named = set(re.findall(rf"(?<![\w./])(?:{'|'.join(PACKAGES)})\.[a-z_]\w*(?:\.\w+)*", spans))
    for name in sorted(name for name in named if not name.endswith((".parquet", ".yaml"))):
        found = resolved(name)
        assert found.__doc__ or isinstance(found, dict), name


def resolved(name: str) -> object:
    """What a dotted name stands for."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            found = getattr(found, part)
        return found
    raise AssertionError(f"no module of {name}")


@each_document
def test_links_lead_to_files_and_headings(document: Path) -> None:
    for path, anchor in links(document.read_text()):
        target = (document.parent / path).resolve() if path else document
        assert target.is_file(), path
        assert target.is_relative_to(REPOSITORY), path
        assert not anchor or anchor in anchors(target.read_text()), f"{path}#{anchor}"


def test_a_link_to_no_heading_would_be_noticed() -> None:
    found = links("see [a](b.md#no-such) and ![c](d.png), not [e](https://f)")
    assert found == [("b.md", "no-such"), ("d.png", "")]
    assert anchors("# One, two\n\n## `nas` and C++\n\n```sh\n# no heading\n```\n") == {"one-two", "nas-and-c"}


def test_index_of_the_documents_lists_every_page_once() -> None:
    index = DOCS / "index.md"
    listed = Counter((DOCS / path).resolve() for path, _ in links(index.read_text()))
    assert listed == Counter(page for page in DOCUMENTS if page not in (README, index))


def test_the_readme_can_be_read_in_two_minutes() -> None:
    assert len(README.read_bytes()) <= 10_000


def test_no_two_documents_have_a_long_sentence_in_common() -> None:
    """Sentences of more than sixty characters, in the text, in tables and in comments of commands."""
    said = Counter(
        sentence
        for document in DOCUMENTS
        for block in re.split(r"\n\s*\n|\n\|", document.read_text())
        for sentence in re.split(r"(?<=[.;:|])\s|\s#\s", " ".join(block.split()))
        if len(sentence) > 60
    )
    assert {sentence for sentence, times in said.items() if times > 1} == set()

"""The project's documents as tests read them: their commands, code spans, links and headings."""

import re
import shlex
from pathlib import Path

import typer.main
from conftest import REPOSITORY

from nas.cli import app

README = REPOSITORY / "README.md"
DOCS = REPOSITORY / "docs"
DOCUMENTS = [
    README,
    *sorted(DOCS.rglob("*.md")),
    *sorted((REPOSITORY / "tests").rglob("README.md")),
    *sorted((REPOSITORY / "analysis").rglob("README.md")),
]
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def called(document: Path) -> str:
    """A document's name in test ids and messages."""
    return str(document.relative_to(REPOSITORY))


def code_spans(text: str) -> list[str]:
    """Inline code, on one line each; fenced blocks left out."""
    plain = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    plain = re.sub(r"^ {4}.*$", "", plain, flags=re.M)
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", plain)]


def fenced(text: str, language: str) -> list[str]:
    """The blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.M | re.S)


def typed(text: str) -> list[str]:
    """The `nas` commands of indented blocks, lines that go on joined, and of code spans."""
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    found = [line for line in lines if re.match(r" {4,}.*\bnas [a-z]+", line) and ">>>" not in line]
    commands = [re.split(r"\s{2,}|\s#", re.sub(r"^.*?\bnas ", "nas ", line.strip()))[0] for line in found]
    return commands + [span for span in code_spans(text) if re.match(r"nas [a-z]", span)]


def words(command: str) -> list[str]:
    """A command's words, without ellipses."""
    return [word for word in shlex.split(command.replace("…", "")) if word]


def options(name: str) -> set[str]:
    """The options of a `nas` command."""
    return {option for parameter in COMMANDS[name].params for option in parameter.opts}


def unknown(command: str) -> list[str]:
    """Words of a command that nas does not know."""
    name, rest = words(command)[1], words(command)[2:]
    if name not in COMMANDS:
        return [name]
    return [word for word in rest if re.match(r"--?[a-z]", word) and word.split("=")[0] not in options(name)]


def anchors(text: str) -> set[str]:
    """The anchors of a document's headings, as GitHub and MyST make them."""
    plain = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    titles = re.findall(r"^#+ (.+)$", plain, flags=re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def links(text: str) -> list[tuple[str, str]]:
    """Path and anchor of each link, and of each picture, that stays in the repository."""
    return re.findall(r"\]\((?!https?:)([^)#\s]*)#?([^)\s]*)\)", text)

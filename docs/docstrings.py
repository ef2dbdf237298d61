"""Docstrings, written as Markdown with Google's sections, as the reStructuredText that Sphinx reads."""

import ast
import inspect
import re
import textwrap
import tokenize
from collections.abc import Iterator, Sequence
from io import StringIO
from itertools import groupby


def to_restructured_text(lines: Sequence[str]) -> list[str]:
    """The docstring's lines: code spans doubled, tables and indented blocks kept, all else plain text."""
    return [line for block in _blocks(lines) for line in _converted(block)]


def _blocks(lines: Sequence[str]) -> Iterator[list[str]]:
    """Paragraphs, and the empty lines between them."""
    for _, block in groupby(lines, key=lambda line: bool(line.strip())):
        yield list(block)


def _converted(block: list[str]) -> list[str]:
    if all(line.startswith("|") for line in block):
        return _table(block)
    if all(line.startswith("    ") for line in block):  # a drawing; sections begin with their heading
        return ["::", "", *block]
    return [_plain(line) for line in block]


def _plain(line: str) -> str:
    """A line in which nothing but code spans is markup."""
    parts = re.split(r"`([^`]+)`", line)
    for i in range(0, len(parts), 2):
        parts[i] = re.sub(r"([*|\\]|_(?!\w))", r"\\\1", parts[i])
    for i in range(1, len(parts), 2):
        glued = r"\ " if re.match(r"\w", parts[i + 1]) else ""
        parts[i] = f"``{parts[i]}``{glued}"
    return "".join(parts)


def _table(block: list[str]) -> list[str]:
    """A Markdown table as a list table; its second line is the rule."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in (block[0], *block[2:])]
    text = [".. list-table::", "   :header-rows: 1", ""]
    for first, *others in rows:
        text += [f"   * - {_plain(first)}", *(f"     - {_plain(cell)}" for cell in others)]
    return text


def with_fields(lines: Sequence[str], kind: type) -> list[str]:
    """The docstring of a class with the comments beside its fields among its attributes."""
    comments = [f"    {name}: {comment}" for name, comment in field_comments(kind).items()]
    if not comments:
        return list(lines)
    heading = "Attributes:"
    if heading not in lines:
        return [*lines, "", heading, *comments, ""]
    after = list(lines).index(heading) + 1
    return [*lines[:after], *comments, *lines[after:]]


def field_comments(kind: type) -> dict[str, str]:
    """What stands behind each annotated field, by name; of a class without source none."""
    try:
        source = textwrap.dedent(inspect.getsource(kind))
    except (OSError, TypeError):
        return {}
    tokens = tokenize.generate_tokens(StringIO(source).readline)
    by_line = {
        token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT
    }
    found = {}
    for node in ast.parse(source).body[0].body:  # type: ignore[attr-defined]
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            lines = range(node.lineno, (node.end_lineno or node.lineno) + 1)
            if said := " ".join(by_line[line] for line in lines if line in by_line):
                found[node.target.id] = said
    return found

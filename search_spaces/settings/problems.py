"""PyYAML's complaints about a text, in words by which one can mend it."""

import re
from typing import Any

import yaml

MAX_SHOWN = 60
SPACES = re.compile("[\u00a0\u2000-\u200b\u202f\u3000\ufeff]")  # look like a space, and are none to YAML
OPENED = {"]": "[", "}": "{"}


def explained(error: yaml.YAMLError, text: str) -> str:
    """Line and column of the mistake, and what to do about it."""
    lines = text.splitlines()
    if isinstance(error, yaml.reader.ReaderError):
        before = text[: error.position]
        line, column = before.count("\n") + 1, error.position - before.rfind("\n")
        code = error.character if isinstance(error.character, int) else ord(error.character)
        return _at(line, column, f"the character U+{code:04X} cannot stand in a text file; remove it")
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return f"not valid YAML: {str(error).splitlines()[0]}"
    end: Any = error.problem_mark
    start: Any = error.context_mark or end
    problem, context = error.problem or "", error.context or ""
    if re.search(r"'\\t' that cannot start", problem):
        is_indent = not lines[end.line][: end.column].strip()
        mend = "indent with spaces" if is_indent else "put a space in its place"
        return _at(end.line + 1, end.column + 1, f"a tab where a space is expected; {mend}")
    if odd := _odd_space(lines, max(start.line - 1, 0), end.line):
        return odd
    whole = f"{context}; {problem}"
    for words, line, sign in (
        ("expected ':'", start.line, r"[\w.-]+:"),
        ("expected <block end>", end.line, "-"),
    ):
        if words in problem and (found := re.match(rf"\s*{sign}(?=[^\s-])", _line(lines, line))):
            return _at(line + 1, found.end(), f"a space is missing behind this '{found[0][-1]}'")
    # The first that fits: special cases stand before general ones.
    for words, mark, meaning in (
        (
            "could not find expected ':'",
            start,
            f"a ':' is missing in {_quoted(lines, start.line)}; a key needs one, and a space behind it",
        ),
        ("scanning a quoted scalar.*end of stream", start, "the quote that begins here is never closed"),
        ("scanning a directive", start, "a line that begins with % is put in quotes"),
        ("unknown escape", end, "a backslash within double quotes; use single quotes: 'C:\\images'"),
        ("scanning an? (alias|anchor)", end, "text that begins with * or & is put in quotes: '*.parquet'"),
        ("sequence entries are not allowed", end, "an item's '-' begins a line of its own; or use [a, b]"),
        ("expected <block end>, but found ':'", end, "a key is missing before this ':'"),
        ("expected the node content", end, "a value is missing here"),
        ("expected '<document start>'", end, "this line is indented otherwise than the first one"),
        (
            "found '-'|found '<block sequence",
            end,
            "an item ('-') where a 'key: value' line is expected; all items of a list begin with '- ', "
            "indented alike",
        ),
        ("expected <block end>", end, "this line is indented otherwise than those beside it"),
    ):
        if re.search(words, whole, re.DOTALL):
            return _at(mark.line + 1, mark.column + 1, meaning)
    if found := re.search(r"character '(.)' that cannot start", problem):
        return _at(end.line + 1, end.column + 1, f"text that begins with {found[1]} is put in quotes")
    if found := re.search(r"expected ',' or '([\]}])'", problem):
        before, behind = _line(lines, end.line)[: end.column], _line(lines, end.line)[end.column :]
        if re.search(r"\$\{?$", before) or (before + behind[:1]).endswith("${"):
            return _at(end.line + 1, end.column, "variables (${…}) are not replaced here; write the value")
        if behind.startswith("="):
            return _at(
                end.line + 1, end.column + 1, "a ':' and a space are expected in the place of this '='"
            )
        if behind.startswith(":") and (key := re.search(r"[^\s,{\[]\s+(\w+)$", before)):
            return _at(end.line + 1, key.start(1) + 1, f"a ',' is missing before '{key[1]}:'")
        opened = f"'{OPENED[found[1]]}' of line {start.line + 1}"
        return _at(end.line + 1, end.column + 1, f"',' or '{found[1]}' expected; is the {opened} closed?")
    if "mapping values are not allowed" in problem:
        return _second_colon(lines, end.line, end.column)
    return _at(end.line + 1, end.column + 1, problem)


def no_space(character: str) -> str:
    """A sentence about one of SPACES."""
    return f"U+{ord(character):04X} looks like a space and is none; use a space"


def _odd_space(lines: list[str], first: int, last: int) -> str | None:
    """The first of SPACES behind a ':' or a '-', or in the indentation, of these lines; None without one."""
    for i, line in enumerate(lines[first : last + 1], start=first):
        if found := re.search(rf"(?:^ *|:|^ *-)({SPACES.pattern})", line):
            return _at(i + 1, found.start(1) + 1, no_space(found[1]))
    return None


def _second_colon(lines: list[str], line: int, column: int) -> str:
    """A ':' behind something that has a value already: in the same line, or because of a line above."""
    if item := re.match(r"\s*-(?=[^\s-])", lines[line]):
        return _at(line + 1, item.end(), "a space is missing behind this '-'")
    if re.search(r":\s", lines[line][:column]):
        meaning = "a second ':' in this line; put text that holds ': ' in quotes, or a mapping in {}"
        return _at(line + 1, column + 1, meaning)
    above = next(
        (i for i in range(line - 1, -1, -1) if lines[i].strip() and lines[i].strip()[0] != "#"), None
    )
    if above is not None and ":" not in lines[above]:
        return _at(above + 1, 1, f"a ':' is missing in {_quoted(lines, above)}, or a space behind it")
    if above is not None and re.search(r":\S", lines[above]) and not re.search(r":\s", lines[above]):
        return _at(above + 1, 1, f"a space is missing behind the ':' in {_quoted(lines, above)}")
    return _at(
        line + 1, column + 1, "this line is indented further than the one above, which has its value already"
    )


def _line(lines: list[str], line: int) -> str:
    return lines[line] if line < len(lines) else ""


def _quoted(lines: list[str], line: int) -> str:
    text = _line(lines, line).strip()
    return f"'{text}'" if len(text) <= MAX_SHOWN else f"'{text[:MAX_SHOWN]}…'"


def _at(line: int, column: int, meaning: str) -> str:
    return f"line {line}, column {column}: not valid YAML: {meaning}"

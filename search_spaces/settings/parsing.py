"""Strict YAML to plain values and the line of each: one document, no aliases, no tags, no key twice."""

import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from yaml.composer import Composer
from yaml.resolver import Resolver

from search_spaces.settings.number_hint import without_comma
from search_spaces.settings.problems import SPACES, explained, no_space
from search_spaces.settings.seal import BrokenSealError, check_seal, has_seal

MAX_BYTES = 1 << 20
MAX_DEPTH = 32
MAX_DIGITS = 40  # of a whole number; beyond thousands of them Python refuses to read one at all
TAG = "tag:yaml.org,2002:"
QUOTES = "“”‘’„«»"  # of word processors, not of YAML

Location = tuple[int | str, ...]  # keys and indices, from the outermost in


@dataclass(frozen=True)
class PlainYaml:
    """The values of a text (mappings, lists, numbers, text) and the line, from 1, of every key and item."""

    value: Any
    lines: Mapping[Location, int]


def plain_values(text: str) -> PlainYaml:
    """The values of one YAML document.

    Words stand for what YAML 1.2 says: `no` and `on` are text (which stands for false and true where only
    these may stand), as are dates and 1:30, and 1e-5 is a number. A number with leading zeros, octal in YAML
    1.1 and decimal in 1.2, is refused.

    Raises:
        ValueError: the text is not such a document; the message begins with the line.
    """
    read = _read(text)
    return PlainYaml(deepcopy(read.value), read.lines)


@lru_cache(maxsize=64)  # a command reads the same few files several times, and PyYAML takes milliseconds
def _read(text: str) -> PlainYaml:
    try:
        node = _Nodes(_used_events(text)).get_single_node()
    except yaml.YAMLError as error:
        raise ValueError(explained(error, text)) from None
    if isinstance(node, yaml.ScalarNode) and "：" in node.value:
        raise ValueError(f"{_place(node)}: '：' is no colon in YAML; use ':' and a space")
    lines: dict[Location, int] = {}
    return PlainYaml(None if node is None else _value(node, (), lines), lines)


def text_of_file(path: Path) -> str:
    """The text of a file.

    Raises:
        ValueError: it is too large, not in UTF-8, not as it was sealed, or cannot be read; the message does
            not name it.
    """
    try:
        if (size := path.stat().st_size) > MAX_BYTES:
            raise ValueError(f"holds {size:,} bytes; at most {MAX_BYTES:,} are expected")
        content = path.read_bytes()
        if has_seal(content):
            check_seal(content)
        return content.decode("utf-8")
    except BrokenSealError:
        raise ValueError(
            "is not as it was written; if you changed it on purpose, remove its last line (# sha256 …)"
        ) from None
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        found = f"the byte 0x{content[error.start]:02X} in line {line} is not UTF-8"
        raise ValueError(f"not a text file ({found}); save it as UTF-8") from None


def is_plain_text(word: str) -> bool:
    """True if a word without quotes is text, rather than a number, true, false or nothing, or refused."""
    resolved = _Nodes(iter(())).resolve(yaml.ScalarNode, word, (True, False))
    return bool(resolved == f"{TAG}str") and word[:1] not in QUOTES and not SPACES.search(word)


class _Nodes(Composer, Resolver):
    """PyYAML's nodes of events, by YAML 1.2's rules of which words are numbers, true, false or nothing."""

    def __init__(self, events: Iterator[yaml.Event]) -> None:
        Composer.__init__(self)
        Resolver.__init__(self)
        self._events = events
        self._next: yaml.Event | None = None

    def peek_event(self) -> yaml.Event | None:
        if self._next is None:
            self._next = next(self._events, None)
        return self._next

    def check_event(self, *kinds: type[yaml.Event]) -> bool:
        return isinstance(self.peek_event(), kinds)

    def get_event(self) -> yaml.Event | None:
        event, self._next = self.peek_event(), None
        return event


_DIGITS = r"[0-9]+(_[0-9]+)*"  # 1_000 as in Python and YAML 1.1; elsewhere an underscore makes a word text
_Nodes.yaml_implicit_resolvers = {}
for _kind, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", rf"[-+]?{_DIGITS}|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        "float",
        rf"[-+]?(\.[0-9]+|{_DIGITS}(\.({_DIGITS})?)?)([eE][-+]?[0-9]+)?"
        r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
    ("merge", r"<<", ["<"]),
):
    _Nodes.add_implicit_resolver(TAG + _kind, re.compile(f"^(?:{_pattern})$"), _first)


def _used_events(text: str) -> Iterator[yaml.Event]:
    """Events of a text; refuses aliases, tags, depth and further documents before they are built."""
    depth = documents = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        mark: Any = event.start_mark
        where = f"line {mark.line + 1}"
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise ValueError(
                f"{where}: aliases (&, *) are not used here; write the value out, or put text that begins "
                "with & or * in quotes"
            )
        if getattr(event, "tag", None):
            raise ValueError(
                f"{where}: tags (!, !!) are not used here; write plain values, or put text that begins with "
                "! in quotes"
            )
        documents += isinstance(event, yaml.DocumentStartEvent)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise ValueError(f"{where}: nested more than {MAX_DEPTH} deep; leave out brackets or levels")
        if documents > 1:
            raise ValueError(f"{where}: several documents (---); one is expected: leave out the others")
        yield event


def _value(node: yaml.Node, location: Location, lines: dict[Location, int]) -> Any:
    lines[location] = node.start_mark.line + 1
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, (*location, i), lines) for i, item in enumerate(node.value)]
    if not isinstance(node, yaml.MappingNode):
        assert isinstance(node, yaml.ScalarNode)
        return _scalar(node)
    mapping: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key = _key(key_node)
        if key in mapping:
            first = lines[(*location, key)]
            raise ValueError(
                f"{_place(key_node)}: the key '{key}' stands here twice (first in line {first}); "
                "leave one out"
            )
        mapping[key] = _value(value_node, (*location, key), lines)
        lines[(*location, key)] = key_node.start_mark.line + 1
    return mapping


def _key(node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode):
        found = "a list" if isinstance(node, yaml.SequenceNode) else "a mapping"
        raise ValueError(f"{_place(node)}: {found} stands where a key is expected; write a plain word")
    if node.tag == f"{TAG}merge":
        raise ValueError(f"{_place(node)}: merge keys (<<) are not used here; write the keys out")
    _check_comma(node)
    key = _scalar(node)
    if not isinstance(key, str):
        word = f"'{node.value}'" if node.value else "nothing"
        raise ValueError(
            f"{_place(node)}: {word} stands where a key is expected; a list is written in [], and a key that "
            "is a number in quotes"
        )
    if node.style is None and (bracket := re.search(r"[\[\]{}]", key)):
        raise ValueError(f"{_place(node)}: a ':' is missing before the '{bracket[0]}' in '{key}'")
    return key


def _check_comma(digits: yaml.ScalarNode) -> None:
    """Refuses the digits behind the comma of `{trials: 1,000}` and `{ratio: 0,25}`; a comma ends them."""
    mark: Any = digits.start_mark
    if digits.style is not None or mark.buffer is None or not digits.value.isdigit():
        return
    before = re.search(r"[-+]?[\d,]*,$", mark.buffer[: mark.pointer])
    after = re.match(r"[\d,]*\d", mark.buffer[mark.pointer :])
    if before and after and (number := without_comma(before[0] + after[0])):
        raise ValueError(f"{_place(digits)}: a comma within a number ends it; write {number}")


def _scalar(node: yaml.ScalarNode) -> Any:
    word, kind = node.value, node.tag.removeprefix(TAG)
    if kind == "null":
        return None
    if kind == "bool":
        return word.lower() == "true"
    if kind == "int":
        return _whole_number(node)
    if kind == "float":
        return float(word.lower().replace("_", "").replace(".inf", "inf").replace(".nan", "nan"))
    if node.style is None and word[:1] in QUOTES:
        raise ValueError(f"{_place(node)}: {word[:1]} is no quote in YAML; use ' or \"")
    if node.style is None and (found := SPACES.search(word)):
        raise ValueError(f"{_place(node)}: {no_space(found[0])}, or put the text in quotes")
    return word


def _whole_number(node: yaml.ScalarNode) -> int:
    word = node.value.replace("_", "")
    digits = word.lstrip("+-")
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"{_place(node)}: a number of {len(digits):,} digits; at most {MAX_DIGITS} are read")
    if digits[:2] in ("0x", "0o"):
        return int(word, base=0)
    if digits[0] == "0" and len(digits) > 1:
        _check_comma(node)
        raise ValueError(
            f"{_place(node)}: {node.value} has leading zeros, which some programs read as octal; write "
            f"{int(word)}, or '{node.value}' if it is text"
        )
    return int(word)


def _place(node: yaml.Node) -> str:
    return f"line {node.start_mark.line + 1}, column {node.start_mark.column + 1}"

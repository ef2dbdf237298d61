"""What is said of a mapping that is not right: one line per place, in the words of the file."""

import dataclasses
import difflib
import re
import types
import typing
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

MAX_PROBLEMS = 10
MAX_SHOWN = 80


def problems(cls: type, mapping: Any, error: ValidationError, name: str) -> list[str]:
    """One line per place; of a union's several complaints about one place the most telling."""
    by_place: dict[str, str] = {}
    for detail in error.errors(include_url=False):
        location = _within(mapping, detail)
        place = place_of(location)
        sentence = _sentence(cls, location, detail)
        if place not in by_place or (detail["type"] == "value_error" and "expected" in by_place[place]):
            by_place[place] = sentence
    # A complaint about a whole value is noise beside one about a part of it.
    places = [p for p in by_place if not any(q != p and q.startswith((f"{p}.", f"{p}[")) for q in by_place)]
    lines = [
        f"{name}: {place}: {by_place[place]}" if place else f"{name}: {by_place[place]}" for place in places
    ]
    if len(lines) > MAX_PROBLEMS:
        lines = [*lines[:MAX_PROBLEMS], f"{name}: and {len(lines) - MAX_PROBLEMS} more problems"]
    return lines


def not_numbers(kind: Any, value: Any, location: tuple[Any, ...] = ()) -> Iterator[str]:
    """One line for each true, false or text where only a number belongs; pydantic would make it one."""
    if isinstance(value, (bool, str)):
        kinds = {_plain(part) for part in typing.get_args(kind)} if _is_union(kind) else {kind}
        if kinds & {int, float} and type(value) not in kinds:
            given = str(value).lower() if isinstance(value, bool) else shown(value)
            yield f"{place_of(location)}: {given} given; expected {_words(kind)}"
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from not_numbers(_value_kind(kind, key), item, (*location, key))
    elif isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            yield from not_numbers(item_kind(kind), item, (*location, i))


def _value_kind(kind: Any, key: Any) -> Any:
    """What belongs behind a key of a dataclass or of a dict[..., ...]; None where that is not known."""
    if typing.get_origin(kind) is dict:
        return _plain(typing.get_args(kind)[1])
    return fields_of(kind).get(key)


def _is_union(kind: Any) -> bool:
    return typing.get_origin(kind) in (typing.Union, types.UnionType)


def _within(mapping: Any, detail: ErrorDetails) -> tuple[int | str, ...]:
    """pydantic's location without the steps that name members of a union rather than keys."""
    location: list[int | str] = []
    value = mapping
    missing = detail["type"] in ("missing", "missing_argument")
    for i, step in enumerate(detail["loc"]):
        last = i == len(detail["loc"]) - 1
        if isinstance(value, dict) and (step in value or (last and missing)):
            location.append(step)
            value = value.get(step)
        elif isinstance(value, (list, tuple)) and isinstance(step, int) and step < len(value):
            location.append(step)
            value = value[step]
    return tuple(location)


def place_of(location: Iterable[Any]) -> str:
    """Keys and indices as one path: stages[3].op."""
    text = ""
    for step in location:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            plain = isinstance(step, str) and step.isprintable() and len(step) <= MAX_SHOWN
            name = step if plain else shown(step)
            text += f".{name}" if text else name
    return text


def _sentence(cls: type, location: Sequence[int | str], detail: ErrorDetails) -> str:
    kind, context, found = detail["type"], detail.get("ctx", {}), detail["input"]
    if kind in ("missing", "missing_argument"):
        return f"missing; expected {_words(_kind_at(cls, location))}"
    if kind in ("unexpected_keyword_argument", "extra_forbidden"):
        fields = fields_of(_kind_at(cls, location[:-1]))
        return f"{shown(location[-1])} is not a key here; {known_keys(str(location[-1]), fields)}"
    if kind == "literal_error":
        options = re.findall(r"'([^']*)'|(\d+)", context.get("expected", ""))
        names = sorted(a or b for a, b in options)
        if location and "op" in (location[-1], location[-2] if len(location) > 1 else None):
            return f"{shown(found)} is not an op; ops are {', '.join(names)}{suggestion(str(found), names)}"
        return f"{shown(found)} is not one of {', '.join(names)}{suggestion(str(found), names)}"
    if kind == "value_error":
        return str(context.get("error", detail["msg"]))
    bounds = {
        "greater_than": "above {gt}",
        "greater_than_equal": "at least {ge}",
        "less_than": "below {lt}",
        "less_than_equal": "at most {le}",
    }
    if kind in bounds:
        return f"{shown(found)} is out of range; it must be {bounds[kind].format(**context)}"
    if kind == "string_too_short":
        return "is empty text; something is expected here"
    if kind in ("too_short", "too_long"):
        bound = context.get("min_length", context.get("max_length"))
        few = "at least" if kind == "too_short" else "at most"
        return f"{context.get('actual_length', 0)} given; {few} {bound} expected"
    return f"{shown(found)} given; expected {_words(_kind_at(cls, location))}"


def shown(found: Any) -> str:
    """A value as messages quote it: printable, in one line, not too long."""
    if found is None:
        return "nothing"
    text = f"'{found}'" if isinstance(found, str) and found.isprintable() else repr(found)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"


def _kind_at(cls: Any, location: Iterable[int | str]) -> Any:
    kind = cls
    for step in location:
        kind = item_kind(kind) if isinstance(step, int) else _value_kind(kind, step)
    return kind


def _words(kind: Any) -> str:
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        keys = ", ".join(fields_of(kind))
        named = " or the name of a file that holds it" if hasattr(kind, "SHIPPED") else ""
        return f"a mapping with the keys {keys}{named}"
    origin = typing.get_origin(kind)
    if origin is typing.Literal:
        return "one of " + ", ".join(map(str, typing.get_args(kind)))
    if origin in (tuple, list):
        return f"a list, each item {_words(item_kind(kind))}"
    if origin is dict or kind is dict:
        return "a mapping"
    if _is_union(kind):
        return " or ".join(dict.fromkeys(_words(_plain(part)) for part in typing.get_args(kind)))
    names = {
        int: "a whole number",
        float: "a number",
        str: "text",
        bool: "true or false",
        type(None): "nothing",
    }
    return names.get(kind, "another kind of value")


def known_keys(found: str, fields: Iterable[str]) -> str:
    """The end of a message about a key that is none: those that are, and the one that may be meant."""
    names = list(fields)
    return f"keys are {', '.join(names)}{suggestion(found, names)}"


def suggestion(found: str, known: Iterable[str]) -> str:
    """End of a message about an unknown name: " (did you mean 'x'?)", or "" if no known one is close."""
    names = {name.lower(): name for name in known}
    word = found.lower()
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    if not close and len(word) > 2:
        close = [name for name in names if name.startswith(word)]  # "step" is far from "step_time_ratio"
    return f" (did you mean '{names[close[0]]}'?)" if close else ""


def fields_of(kind: Any) -> dict[str, Any]:
    """Field names and the class (or annotation) of each, of a dataclass; empty for anything else."""
    if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
        return {}
    hints = typing.get_type_hints(kind)
    return {field.name: _plain(hints[field.name]) for field in dataclasses.fields(kind) if field.init}


def _plain(hint: Any) -> Any:
    """The dataclass within an optional or annotated hint, else the hint."""
    if _is_union(hint):
        inner = [arg for arg in typing.get_args(hint) if arg is not type(None)]
        return _plain(inner[0]) if len(inner) == 1 else hint
    if typing.get_origin(hint) is typing.Annotated:
        return _plain(typing.get_args(hint)[0])
    return hint


def item_kind(kind: Any) -> Any:
    """What the items of a list or tuple are; None where that is not known."""
    arguments = typing.get_args(kind)
    return _plain(arguments[0]) if arguments else None

"""Annotations of dataclasses: keys, kinds of values, and words for what is expected."""

import dataclasses
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from pydantic.fields import FieldInfo

LEFT_OUT = "left_out"  # in a field's metadata: the value with which files and JSON do not hold it
MOST_KEYS = 20  # of a mapping that are all named
MAX_WRITTEN = 2  # keys of a mapping that is written out beside other alternatives


def fields_of(kind: Any) -> Mapping[str, Any]:
    """Field names and the class (or annotation) of each, of a dataclass; empty for anything else.

    Of a union they are those of its one dataclass. A dataclass that a file does not hold by its fields has
    none: it has a `written`, which is what the file holds, and a WRITTEN_AS, which says what that is.
    """
    members = typing.get_args(kind) if is_union(kind) else (kind,)
    classes = [each for each in members if isinstance(each, type) and dataclasses.is_dataclass(each)]
    by_fields = len(classes) == 1 and not hasattr(classes[0], "WRITTEN_AS")
    return _fields_of(classes[0]) if by_fields else {}


@lru_cache
def _fields_of(kind: Any) -> Mapping[str, Any]:
    hints = typing.get_type_hints(kind)
    return {field.name: plain(hints[field.name]) for field in dataclasses.fields(kind) if field.init}


def said_fields(value: Any) -> dict[str, Any]:
    """The fields of a dataclass with their values, without those that their metadata leave out."""
    items = ((field, getattr(value, field.name)) for field in dataclasses.fields(value))
    return {
        field.name: item
        for field, item in items
        if LEFT_OUT not in field.metadata or item != field.metadata[LEFT_OUT]
    }


def value_kind(kind: Any, key: Any) -> Any:
    """The annotation of what stands behind a key of a dataclass or of a dict; None where it is not known."""
    mapping = _member(kind, dict)
    if mapping is not None:
        return plain(typing.get_args(mapping)[1])
    return fields_of(kind).get(key)


def item_kind(kind: Any) -> Any:
    """The class (or annotation) of a list's or tuple's items; None where it is not known."""
    arguments = typing.get_args(_member(kind, tuple, list))
    return plain(arguments[0]) if arguments else None


def _member(kind: Any, *origins: type) -> Any:
    """The kind, or its one member of a union, that is a generic of these classes; None if there is none."""
    members = typing.get_args(kind) if is_union(kind) else (kind,)
    fitting = [part for part in map(plain, members) if typing.get_origin(part) in origins]
    return fitting[0] if len(fitting) == 1 else None


def kind_at(cls: Any, location: Iterable[int | str]) -> Any:
    """The annotation of what stands at a location of a mapping for `cls`; None where it is not known."""
    kind = cls
    for step in location:
        kind = item_kind(kind) if isinstance(step, int) else value_kind(kind, step)
    return kind


def unit_at(cls: Any, location: Sequence[int | str]) -> str:
    """The unit of a number that stands at a location: the description of its field; empty if it has none."""
    field = field_at(cls, location)
    return (field and field.description) or ""


def field_at(cls: Any, location: Sequence[int | str]) -> FieldInfo | None:
    """The field of a checked dataclass at a location; None for an item of a list, and where none is known."""
    if not location or isinstance(location[-1], int):
        return None
    fields: Mapping[str, FieldInfo] = getattr(kind_at(cls, location[:-1]), "__pydantic_fields__", {})
    return fields.get(location[-1])


def words_for(kind: Any) -> str:
    """Words for what is expected where this kind of value belongs; a class may give its own: `EXPECTED`."""
    for name in ("EXPECTED", "WRITTEN_AS"):
        if hasattr(kind, name):
            return str(getattr(kind, name))
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        keys, others = list(fields_of(kind)), ""
        if len(keys) > MOST_KEYS:  # those that must be there
            needed = needed_keys(kind)
            keys, others = needed, f" and up to {len(keys) - len(needed)} others"
        named = " or the name of a file that holds it" if hasattr(kind, "SHIPPED") else ""
        return f"a mapping with the key{'' if len(keys) == 1 else 's'} {', '.join(keys)}{others}{named}"
    origin = typing.get_origin(kind)
    if origin is typing.Literal:
        return "one of " + ", ".join(map(str, typing.get_args(kind)))
    if origin in (tuple, list):
        return f"a list, each item {words_for(item_kind(kind))}"
    if origin is dict and plain(typing.get_args(kind)[1]) is float:
        return "a mapping of names to numbers"
    if origin is dict or kind is dict:
        return "a mapping"
    if is_union(kind):
        return " or ".join(dict.fromkeys(map(_words_for_member, typing.get_args(kind))))
    names = {
        int: "a whole number",
        float: "a number",
        str: "text",
        bool: "true or false",
        type(None): "nothing",
    }
    return names.get(kind, "another kind of value")


def needed_keys(kind: Any) -> list[str]:
    """The keys of a checked dataclass that have no default."""
    settings = getattr(kind, "__pydantic_fields__", {})
    return [key for key in fields_of(kind) if key in settings and settings[key].is_required()]


def _words_for_member(kind: Any) -> str:
    """Words for one of the kinds of a union: names themselves, and a short mapping as it is written."""
    kind = plain(kind)
    if typing.get_origin(kind) is typing.Literal:
        return " or ".join(map(str, typing.get_args(kind)))
    fields = fields_of(kind)
    if 0 < len(fields) <= MAX_WRITTEN and not hasattr(kind, "EXPECTED"):
        return "{" + ", ".join(f"{name}: {words_for(inner)}" for name, inner in fields.items()) + "}"
    return words_for(kind)


def names_in(kind: Any) -> list[str]:
    """The names that an annotation allows, by themselves or beside other kinds of values."""
    members = typing.get_args(kind) if is_union(kind) else (kind,)
    literals = [part for part in map(plain, members) if typing.get_origin(part) is typing.Literal]
    return [str(name) for literal in literals for name in typing.get_args(literal)]


def plain(hint: Any) -> Any:
    """The dataclass within an optional or annotated hint, else the hint."""
    if is_union(hint):
        inner = [arg for arg in typing.get_args(hint) if arg is not type(None)]
        return plain(inner[0]) if len(inner) == 1 else hint
    if typing.get_origin(hint) is typing.Annotated:
        return plain(typing.get_args(hint)[0])
    return hint


def is_union(kind: Any) -> bool:
    """True if an annotation allows several kinds."""
    return typing.get_origin(kind) in (typing.Union, types.UnionType)

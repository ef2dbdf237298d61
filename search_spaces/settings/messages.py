"""Complaints about a mapping that is not right: one sentence per place, in the words of the file."""

import math
import re
import typing
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from search_spaces.settings.faults import FaultsError
from search_spaces.settings.kinds import (
    field_at,
    fields_of,
    is_union,
    item_kind,
    kind_at,
    names_in,
    plain,
    unit_at,
    value_kind,
    words_for,
)
from search_spaces.settings.near_names import close_names, suggestion
from search_spaces.settings.parsing import Location
from search_spaces.settings.places import holds, place_of, shown, steps_of, value_at
from search_spaces.settings.unknown_keys import filled_by_mending, unknown_key
from search_spaces.settings.value_hints import list_hint, value_hint

T = TypeVar("T")

MAX_KEYS = 20
MISSING = "missing;"
NUMBERS = (int, float)
# Words that mean the same to YAML 1.1, where they are no text, and to whoever writes them.
TRUE_OR_FALSE = ("yes", "no", "on", "off", "true", "false")
PATH = re.compile(r"([A-Za-z_]\w*(?:\.\w+|\[\d+\])*): ")  # with which a message may begin


class Complaint(NamedTuple):
    """A mistake at a place of a mapping."""

    location: Location
    sentence: str


# In pydantic's context: what is read was accepted when it was recorded, maybe by an earlier version. Younger
# rules, without which it can be understood as well, let it pass.
RECORDED = "recorded"


def checked(cls: type[T], mapping: Any, *, recorded: bool = False) -> tuple[T | None, list[Complaint]]:
    """The object of `cls` that a mapping describes, or all mistakes that keep it from being one.

    `recorded`: see RECORDED.
    """
    # Step 1: what pydantic would take. Infinite numbers, with which no field can do anything; text, true or
    # false in the place of a number, and text or a number in that of true or false, which it would silently
    # convert.
    mistakes = dict([*_converted(cls, cls, mapping), *_not_finite(mapping)])
    # Step 2: everything else, as pydantic and the checks of the dataclasses find it.
    try:
        valid = TypeAdapter(cls).validate_python(mapping, context={RECORDED: recorded})
    except ValidationError as error:
        found = complaints(cls, mapping, error)
    else:
        if not mistakes:
            return valid, []
        found = {}
    # Step 3: both, but for what may follow from the first: complaints about the same place, or about what it
    # is a part of.
    follows = {place[:length] for place in mistakes for length in range(len(place) + 1)}
    mistakes |= {place: sentence for place, sentence in found.items() if place not in follows}
    return None, [Complaint(*item) for item in mistakes.items()]


def complaints(cls: type, mapping: Any, error: ValidationError) -> dict[Location, str]:
    """One sentence for each place of which pydantic complains."""
    sentences = _one_for_each_place(cls, mapping, error)
    sentences = _mappings_of_another_kind(cls, mapping, sentences)
    return _about_parts(_without_meant(cls, mapping, sentences))


def _one_for_each_place(cls: type, mapping: Any, error: ValidationError) -> dict[Location, str]:
    """Picks one of several complaints about a place: the first, unless a dataclass's own check says more.

    There are several where a union is expected: one of each member.
    """
    sentences: dict[Location, str] = {}
    for detail in error.errors(include_url=False):
        for place, sentence in _complaints(cls, mapping, detail):
            more_telling = detail["type"] == "value_error" and "expected" in sentences.get(place, "")
            if place not in sentences or more_telling:
                sentences[place] = sentence
    return sentences


def _mappings_of_another_kind(cls: type, mapping: Any, sentences: dict[Location, str]) -> dict[Location, str]:
    """One sentence about a mapping of another kind, in the place of one for each of its keys and ours."""
    for whole in {place[:-1] for place in sentences if place}:
        if other := _other_kind(cls, mapping, whole):
            sentences = {place: said for place, said in sentences.items() if place[:-1] != whole or not place}
            sentences[whole] = other
    return sentences


def _without_meant(cls: type, mapping: Any, sentences: dict[Location, str]) -> dict[Location, str]:
    """Without complaints about a missing key that an unknown one is said to be meant as."""
    filled: set[Location] = set()
    for place, said in sentences.items():
        if place and isinstance(place[-1], str):
            filled |= filled_by_mending(cls, mapping, place)
            filled |= {(*place[:-1], name) for name in re.findall(r"\(did you mean '(\w+)'\?", said)}
    return {
        place: said for place, said in sentences.items() if not (said.startswith(MISSING) and place in filled)
    }


def _about_parts(sentences: dict[Location, str]) -> dict[Location, str]:
    """Without complaints about a value of which a part is complained of: the whole is wrong by its part."""
    wholes = {place[:length] for place in sentences for length in range(1, len(place))}
    return {place: sentence for place, sentence in sentences.items() if place not in wholes}


def _not_finite(value: Any, location: Location = ()) -> Iterator[Complaint]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _not_finite(item, (*location, key))
    elif isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            yield from _not_finite(item, (*location, i))
    elif isinstance(value, float) and not math.isfinite(value):
        yield Complaint(location, f"{value} is not a number that can be used here; give a finite one")


def _converted(cls: type, kind: Any, value: Any, location: Location = ()) -> Iterator[Complaint]:
    """Each true, false or text where only a number belongs, and each text or number where only true or false.

    pydantic would make one of the other.
    """
    if isinstance(value, (bool, str, int, float)):
        kinds = {plain(part) for part in typing.get_args(kind)} if is_union(kind) else {kind}
        kinds.add(item_kind(kind))  # a list of one option may be given by that option
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        taken = {type(value), *(NUMBERS if is_number else ())}
        taken |= {bool} if isinstance(value, str) and value.lower() in TRUE_OR_FALSE else set()
        if kinds & {*NUMBERS, bool} and not kinds & taken and value not in names_in(kind):
            is_alone = item_kind(kind) in (int, float)
            yield Complaint(location, _another_given(cls, location, value, kind, is_alone=is_alone))
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _converted(cls, value_kind(kind, key), item, (*location, key))
    elif isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            yield from _converted(cls, item_kind(kind), item, (*location, i))


def _complaints(cls: type, mapping: Any, detail: ErrorDetails) -> Iterator[Complaint]:
    location = _within(mapping, detail)
    if detail["type"] != "value_error":
        # A list of one item may be given by that item: then pydantic's location has an index more.
        last = detail["loc"][-1:]
        is_alone = last != location[-1:] and all(isinstance(step, int) for step in last)
        yield Complaint(location, _sentence(cls, mapping, location, detail, is_alone=is_alone))
        return
    raised = detail.get("ctx", {}).get("error", detail["msg"])
    said: dict[Location, list[str]] = {}
    for sentence in raised.sentences if isinstance(raised, FaultsError) else (str(raised),):
        place, narrowed = _narrowed(cls, mapping, location, sentence)
        said.setdefault(place, []).append(narrowed)
    yield from (Complaint(place, "; ".join(sentences)) for place, sentences in said.items())


def _narrowed(cls: type, mapping: Any, location: Location, message: str) -> Complaint:
    """A check of several fields may say in which one the mistake is: "layers: …", "strategy: rows: …"."""
    match = PATH.match(message)
    if not match:
        return Complaint(location, message)
    value, place = value_at(mapping, location), location
    steps = steps_of(match[1])
    for i, step in enumerate(steps):
        is_last = i == len(steps) - 1
        if holds(value, step):
            value = value[step]
        elif is_last and isinstance(value, dict) and (i or step in fields_of(kind_at(cls, place))):
            pass  # a key that is not given, and has its default
        elif i and not isinstance(value, (dict, list, tuple)):
            break  # a shorthand for the mapping that the message speaks of
        else:
            return Complaint(location, message)
        place = (*place, step)
    return _narrowed(cls, mapping, place, message[match.end() :])


def _other_kind(cls: type, mapping: Any, location: Location) -> str | None:
    """A sentence about a mapping none of whose keys is known, and few of them close to one that is."""
    kind, value = kind_at(cls, location), value_at(mapping, location)
    fields = fields_of(kind)
    if not fields or not isinstance(value, dict) or len(value) < 2 or value.keys() & fields.keys():
        return None
    if sum(bool(close_names(str(key), fields)) for key in value) > len(value) / 2:
        return None
    keys = ", ".join(place_of((str(key),)) or "''" for key in list(value)[:MAX_KEYS])
    return f"a mapping with the keys {keys} given; expected {words_for(kind)}"


def _within(mapping: Any, detail: ErrorDetails) -> Location:
    """pydantic's location without the steps that name members of a union rather than keys."""
    location: Location = ()
    value = mapping
    missing = detail["type"] in ("missing", "missing_argument")
    for i, step in enumerate(detail["loc"]):
        is_last = i == len(detail["loc"]) - 1
        if holds(value, step):
            location, value = (*location, step), value[step]
        elif is_last and missing and isinstance(value, dict):
            location = (*location, step)
    return location


def _sentence(cls: type, mapping: Any, location: Location, detail: ErrorDetails, *, is_alone: bool) -> str:
    kind, context, found = detail["type"], detail.get("ctx", {}), detail["input"]
    if kind in ("missing", "missing_argument"):
        return f"{MISSING} expected {words_for(kind_at(cls, location))}"
    if kind in ("unexpected_keyword_argument", "extra_forbidden"):
        return unknown_key(cls, mapping, location)
    is_name = isinstance(found, (str, int, float)) and not isinstance(found, bool)
    if kind == "literal_error" and is_name and not is_union(kind_at(cls, location)):
        options = re.findall(r"'([^']*)'|(\d+)", context.get("expected", ""))
        names = sorted(a or b for a, b in options)
        meant = (list_hint(str(found), names) if is_alone else "") or suggestion(str(found), names)
        return f"{shown(found)} is not one of {', '.join(names)}{meant}"
    bounds = {
        "greater_than": "above {gt}",
        "greater_than_equal": "at least {ge}",
        "less_than": "below {lt}",
        "less_than_equal": "at most {le}",
        "finite_number": "finite",
    }
    if kind in bounds:
        unit = unit_at(cls, location)
        shortly = {name: _shortly(value) for name, value in context.items()}
        bound = f"{bounds[kind].format(**shortly)} {unit}".rstrip()
        return f"{shown(found)} is out of range; it must be {bound}"
    if kind in ("too_short", "too_long", "string_too_short", "string_too_long"):
        return _another_length(kind_at(cls, location), found, context)
    return _another_given(cls, location, found, kind_at(cls, location), is_alone=is_alone)


def _shortly(bound: Any) -> Any:
    """A bound without a fraction that is none: 1, not 1.0."""
    return f"{bound:.12g}" if isinstance(bound, float) and abs(bound) < 1e12 else bound


def _another_length(kind: Any, found: Any, context: Mapping[str, Any]) -> str:
    """A sentence about a list, a mapping or a text that is too short or too long."""
    whole, part, each = "list", "item", item_kind(kind)
    if isinstance(found, str):
        whole, part, each = "text", "character", None
    elif isinstance(found, dict):
        whole, part, each = "mapping", "key", None
    length = len(found)
    given = f"{length:,} {part}s given" if length > 1 else f"1 {part} given"
    if not length:
        given = "empty text given" if isinstance(found, str) else f"an empty {whole} given"
    few, bound = ("at least", context.get("min_length")), context.get("max_length")
    words, number = few if bound is None else ("at most", bound)
    plural = "" if number == 1 else "s"
    kinds = f", each {words_for(each)}" if each is not None else ""
    return f"{given}; expected {words} {number:,} {part}{plural}{kinds}"


def _another_given(cls: type, location: Location, found: Any, kind: Any, *, is_alone: bool = False) -> str:
    """A sentence about a value of another kind; `is_alone`: it may stand for a list of one."""
    unit = unit_at(cls, location)
    expected = words_for(kind) + (f" of {unit}" if unit else "")
    if is_alone and (item := item_kind(kind)) is not None:
        expected = f"{words_for(item)}, or a list of several"
    hint = value_hint(found, kind, expected=expected, field=field_at(cls, location))
    return f"{shown(found)} given; expected {expected}{hint}"

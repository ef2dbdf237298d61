"""Complaints about a mapping that is not right: one sentence per place, in the words of the file."""

import math
import re
import typing
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from search_spaces.settings.faults import FaultsError
from search_spaces.settings.kinds import (
    MOST_KEYS,
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
from search_spaces.settings.number_hint import number_hint
from search_spaces.settings.parsing import Location

T = TypeVar("T")

MAX_SHOWN = 80
MAX_KEYS = 20
MISSING = "missing;"
NUMBERS = (int, float)
# Words that mean the same to YAML 1.1, where they are no text, and to whoever writes them.
TRUE_OR_FALSE = ("yes", "no", "on", "off", "true", "false")
SEARCHED_DEPTH = 3  # of keys, where one is looked for that stands in another place
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
    return _about_parts(_without_meant(sentences))


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


def _without_meant(sentences: dict[Location, str]) -> dict[Location, str]:
    """Without complaints about a missing key that a misspelt one beside it is said to be meant as."""

    def is_meant(place: Location) -> bool:
        beside = (said for other, said in sentences.items() if other[:-1] == place[:-1] and other != place)
        return any(f"(did you mean '{place[-1]}'" in said for said in beside)

    return {
        place: said
        for place, said in sentences.items()
        if not (said.startswith(MISSING) and place and is_meant(place))
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
            yield Complaint(
                location, _another_given(value, kind, unit=unit_at(cls, location), is_alone=is_alone)
            )
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
    value, place = _value_at(mapping, location), location
    steps = steps_of(match[1])
    for i, step in enumerate(steps):
        is_last = i == len(steps) - 1
        if _holds(value, step):
            value = value[step]
        elif is_last and isinstance(value, dict) and (i or step in fields_of(kind_at(cls, place))):
            pass  # a key that is not given, and has its default
        elif i and not isinstance(value, (dict, list, tuple)):
            break  # a shorthand for the mapping that the message speaks of
        else:
            return Complaint(location, message)
        place = (*place, step)
    return _narrowed(cls, mapping, place, message[match.end() :])


def _holds(value: Any, step: int | str) -> bool:
    if isinstance(value, (list, tuple)):
        return isinstance(step, int) and step < len(value)
    return isinstance(value, dict) and step in value


def _value_at(mapping: Any, location: Location) -> Any:
    for step in location:
        mapping = mapping[step] if _holds(mapping, step) else None
    return mapping


def _other_kind(cls: type, mapping: Any, location: Location) -> str | None:
    """A sentence about a mapping none of whose keys is known, and few of them close to one that is."""
    kind, value = kind_at(cls, location), _value_at(mapping, location)
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
        if _holds(value, step):
            location, value = (*location, step), value[step]
        elif is_last and missing and isinstance(value, dict):
            location = (*location, step)
    return location


def steps_of(place: str) -> Location:
    """The keys and indices of a path: the reverse of `place_of`."""
    steps = re.findall(r"[^.\[\]]+", place)
    return tuple(int(step) if re.fullmatch("[0-9]{1,9}", step) else step for step in steps)


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


def _sentence(cls: type, mapping: Any, location: Location, detail: ErrorDetails, *, is_alone: bool) -> str:
    kind, context, found = detail["type"], detail.get("ctx", {}), detail["input"]
    if kind in ("missing", "missing_argument"):
        return f"{MISSING} expected {words_for(kind_at(cls, location))}"
    if kind in ("unexpected_keyword_argument", "extra_forbidden"):
        return _unknown_key(cls, mapping, location)
    is_name = isinstance(found, (str, int, float)) and not isinstance(found, bool)
    if kind == "literal_error" and is_name and not is_union(kind_at(cls, location)):
        options = re.findall(r"'([^']*)'|(\d+)", context.get("expected", ""))
        names = sorted(a or b for a, b in options)
        if location and "op" in (location[-1], location[-2] if len(location) > 1 else None):
            return f"{shown(found)} is not an op; ops are {', '.join(names)}{suggestion(str(found), names)}"
        return f"{shown(found)} is not one of {', '.join(names)}{suggestion(str(found), names)}"
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
    return _another_given(found, kind_at(cls, location), unit=unit_at(cls, location), is_alone=is_alone)


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


def _another_given(found: Any, kind: Any, *, unit: str = "", is_alone: bool = False) -> str:
    """A sentence about a value of another kind; `is_alone`: it may stand for a list of one."""
    expected, hint = words_for(kind) + (f" of {unit}" if unit else ""), ""
    if is_alone and (item := item_kind(kind)) is not None:
        expected = f"{words_for(item)}, or a list of several"
    if isinstance(found, str) and "number" in expected:
        hint = number_hint(found, is_whole="whole number" in expected)
    if isinstance(found, str) and not hint:
        hint = suggestion(found, names_in(kind))
    return f"{shown(found)} given; expected {expected}{hint}"


def _unknown_key(cls: type, mapping: Any, location: Location) -> str:
    key, fields = str(location[-1]), fields_of(kind_at(cls, location[:-1]))
    beside, found = _value_at(mapping, location[:-1]), _value_at(mapping, location)
    if re.search(r"\w:\S", key) and found is None:
        return f"{shown(key)} is a key without a value; a space is missing behind the ':'"
    if len(beside) == 1 and isinstance(found, dict) and found and found.keys() <= fields.keys():
        return f"{shown(key)} is not a key here; what stands in it is expected here, without '{key}:'"
    return no_such_key(cls, key, fields)


def no_such_key(cls: type, key: str, fields: Iterable[str]) -> str:
    """A sentence about a key that is not among these: where it belongs in `cls`, else what is near."""
    names = list(fields)
    keys = f"keys are {', '.join(names)}"
    if elsewhere := [*_places_of_key(cls, key)]:
        depth = min(map(len, elsewhere))
        outermost = [f"'{place_of(place)}'" for place in elsewhere if len(place) == depth]
        meant = f" (did you mean {' or '.join(outermost)}?)"
    else:
        meant = suggestion(key, names)
    if meant and len(names) > MOST_KEYS:  # the list would hide it
        return f"{shown(key)} is not a key here{meant}"
    return f"{shown(key)} is not a key here; {keys}{meant}"


def _places_of_key(kind: Any, key: str, location: Location = ()) -> Iterator[Location]:
    """Where a key of this name belongs, outside of lists."""
    if len(location) < SEARCHED_DEPTH:
        for name, inner in fields_of(kind).items():
            if name == key:
                yield (*location, name)
            yield from _places_of_key(inner, key, (*location, name))


def shown(found: Any) -> str:
    """A value as messages quote it: as in a file, printable, in one line, not too long."""
    if found is None:
        return "nothing"
    if isinstance(found, str):
        text = f"'{found}'" if found.isprintable() else repr(found)
    else:
        text = _in_yaml(found)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"


def _in_yaml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_in_yaml(key)}: {_in_yaml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_in_yaml, value)) + "]"
    if isinstance(value, str) and re.fullmatch(r"[\w./-]+", value):
        return value
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else repr(value)

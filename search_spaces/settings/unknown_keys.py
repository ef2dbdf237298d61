"""Keys that nothing has: where they belong, or what they may be meant as."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from search_spaces.settings.kinds import MOST_KEYS, fields_of, item_kind, kind_at, needed_keys
from search_spaces.settings.near_names import VERY_CLOSE, suggestion
from search_spaces.settings.parsing import Location
from search_spaces.settings.places import place_of, shown, value_at

SEARCHED_DEPTH = 4  # of keys and lists, where one is looked for that stands in another place


def unknown_key(cls: type, mapping: Any, location: Location) -> str:
    """A sentence about the key at a place of a mapping for `cls`."""
    key, within = str(location[-1]), location[:-1]
    kind = kind_at(cls, within)
    beside, found = value_at(mapping, within), value_at(mapping, location)
    if found is None and _key_before_colon(key):
        return f"{shown(key)} is a key without a value; a space is missing behind the ':'"
    if _is_wrapped(beside, found, fields_of(kind)):
        return f"{shown(key)} is not a key here; what stands in it is expected here, without '{key}:'"
    return no_such_key(cls, key, fields_of(kind), _meant_beside(kind, key, beside))


def _meant_beside(kind: Any, key: str, beside: Any) -> str:
    """The end of a sentence about what a key is meant as, by the keys that stand beside it.

    Of names about as near it is one that is missing, and hardly one that stands there already.
    """
    missing = [name for name in needed_keys(kind) if name not in beside]
    absent = [name for name in fields_of(kind) if name not in beside]
    if meant := suggestion(key, absent, likelier=missing):
        return meant
    return suggestion(key, fields_of(kind), close=VERY_CLOSE)


def no_such_key(cls: type, key: str, fields: Iterable[str], meant: str | None = None) -> str:
    """A sentence about a key that is not among these: where it belongs in `cls`, else what it is meant as.

    Args:
        meant: the sentence's end about that; None: the nearest of the keys.
    """
    names = list(fields)
    keys = f"keys are {', '.join(names)}"
    if elsewhere := _outermost_places(cls, key):
        meant = _belongs(elsewhere)
    elif meant is None:
        meant = suggestion(key, names)
    if meant and len(names) > MOST_KEYS:  # the list would hide it
        return f"{shown(key)} is not a key here{meant}"
    return f"{shown(key)} is not a key here; {keys}{meant}"


def filled_by_mending(cls: type, mapping: Any, location: Location) -> set[Location]:
    """Places that are no longer missing once the unknown key at this place is written as it is meant."""
    key, within = str(location[-1]), location[:-1]
    fields = fields_of(kind_at(cls, within))
    if not fields or key in fields:
        return set()
    beside, found = value_at(mapping, within), value_at(mapping, location)
    if found is None and (before := _key_before_colon(key)):
        return {(*within, before)}
    if _is_wrapped(beside, found, fields):
        return {(*within, name) for name in found}
    places = _outermost_places(cls, key)
    return {places[0][:length] for length in range(1, len(places[0]))} if len(places) == 1 else set()


def _key_before_colon(key: str) -> str:
    """The key of `seed:0`, which YAML reads as one word; empty of other words."""
    match = re.match(r"([\w.-]+):(?!//)\S", key)
    return match[1] if match else ""


def _is_wrapped(beside: Any, found: Any, fields: Iterable[str]) -> bool:
    """True if one key holds all that belongs a level higher."""
    return len(beside) == 1 and isinstance(found, dict) and bool(found) and found.keys() <= set(fields)


def _belongs(places: list[Location]) -> str:
    """The end of a sentence about a key that belongs in another place."""
    for place in places:
        if 0 in place:
            return f" (it belongs into each item of '{place_of(place[: place.index(0)])}')"
    named = [f"'{place_of(place)}'" for place in places]
    return f" (did you mean {' or '.join(named)}?)"


def _outermost_places(cls: type, key: str) -> list[Location]:
    """Where a key of this name belongs, on the outermost level that has it."""
    places = [*_places_of_key(cls, key)]
    depth = min(map(len, places), default=0)
    return [place for place in places if len(place) == depth]


def _places_of_key(kind: Any, key: str, location: Location = ()) -> Iterator[Location]:
    """Where a key of this name belongs; the index 0 stands for each item of a list."""
    if len(location) < SEARCHED_DEPTH:
        for name, inner in fields_of(kind).items():
            if name == key:
                yield (*location, name)
            yield from _places_of_key(inner, key, (*location, name))
            if (item := item_kind(inner)) is not None:
                yield from _places_of_key(item, key, (*location, name, 0))

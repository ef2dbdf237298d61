"""Keys that nothing has: where they belong, or what they may be meant as."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from search_spaces.settings.kinds import MOST_KEYS, fields_of, kind_at
from search_spaces.settings.near_names import suggestion
from search_spaces.settings.parsing import Location
from search_spaces.settings.places import place_of, shown, value_at

SEARCHED_DEPTH = 3  # of keys, where one is looked for that stands in another place


def unknown_key(cls: type, mapping: Any, location: Location) -> str:
    """A sentence about the key at a place of a mapping for `cls`."""
    key, fields = str(location[-1]), fields_of(kind_at(cls, location[:-1]))
    beside, found = value_at(mapping, location[:-1]), value_at(mapping, location)
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

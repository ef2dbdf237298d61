"""Places in a mapping: their paths, what stands there, and values as messages quote them."""

import re
from collections.abc import Iterable
from typing import Any

from search_spaces.settings.parsing import Location

MAX_SHOWN = 80


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


def holds(value: Any, step: int | str) -> bool:
    """True if a list has an item of this index, or a mapping this key."""
    if isinstance(value, (list, tuple)):
        return isinstance(step, int) and step < len(value)
    return isinstance(value, dict) and step in value


def value_at(mapping: Any, location: Location) -> Any:
    """The value at a place; None where there is none."""
    for step in location:
        mapping = mapping[step] if holds(mapping, step) else None
    return mapping


def shown(found: Any) -> str:
    """A value as messages quote it: as in a file, printable, in one line, not too long."""
    if found is None:
        return "nothing"
    if isinstance(found, str):
        text = f"'{found}'" if found.isprintable() else repr(found)
    else:
        text = _in_yaml(found)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"


def is_shown_whole(found: Any) -> bool:
    """True if `shown` leaves nothing of a value out, so that it can be part of a proposal."""
    return not shown(found).endswith("…")


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

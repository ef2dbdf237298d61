"""The value that one of another kind may be meant as, for the end of a message about it."""

import re
from collections.abc import Collection
from typing import Any

from search_spaces.settings.kinds import fields_of, item_kind, names_in, needed_keys
from search_spaces.settings.near_names import suggestion
from search_spaces.settings.number_hint import number_hint
from search_spaces.settings.places import shown

MOST_ITEMS = 16  # of a range that is written out
NUMBERS = (int, float)
FITTING: dict[type, tuple[type, ...]] = {
    str: (str,),
    int: NUMBERS,
    float: (float,),
}  # kinds that take a value
NAME = r"[\w./-]+"  # text that needs no quotes
SECONDS = {"ms": 0.001, "s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600}
MEANT_AS_TRUE = ("y", "t", "1", "enabled")
MEANT_AS_FALSE = ("n", "f", "0", "disabled")


def value_hint(found: Any, kind: Any, *, expected: str) -> str:
    """The end of a message about a value that is not of this kind; empty where nothing is known.

    Args:
        expected: the message's words for what is expected.
    """
    if kind is bool:
        return _true_or_false(found)
    if isinstance(found, str):
        if found.lower() in ("none", "nil"):
            return "; leave the key out, where nothing is meant"
        hint = _seconds(found) if expected.endswith("of seconds") else ""
        if not hint and "number" in expected:
            hint = number_hint(found, is_whole="whole number" in expected)
        return hint or suggestion(found, names_in(kind)) or _of_shape(found, kind)
    return _of_shape(found, kind)


def list_hint(found: str, names: Collection[str]) -> str:
    """The list that a text of several names is meant as; empty of other texts."""
    parts = [part.strip() for part in found.split(",")]
    return f"; write [{', '.join(parts)}]" if len(parts) > 1 and set(parts) <= set(names) else ""


def _seconds(found: str) -> str:
    """The seconds of `10m` and `2 h`; empty of other texts."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]+)", found)
    return f"; write {float(match[1]) * SECONDS[match[2]]:.12g}" if match and match[2] in SECONDS else ""


def _true_or_false(found: Any) -> str:
    word = str(found).lower()
    if word in MEANT_AS_TRUE:
        return "; write true"
    return "; write false" if word in MEANT_AS_FALSE else ""


def _of_shape(found: Any, kind: Any) -> str:
    """A hint about a list, a mapping or a single value where another of these is expected."""
    fields, item = fields_of(kind), item_kind(kind)
    if item is int and isinstance(found, str):
        return _range(found)
    if len(fields) == 2 and (pair := _pair(found)):
        first, second = fields
        return f"; write {{{first}: {pair[0]}, {second}: {pair[1]}}}"
    if fields and isinstance(found, list) and found and all(isinstance(each, dict) for each in found):
        keys = [key for each in found for key in each]
        is_split = len(set(keys)) == len(keys) and set(keys) <= set(fields)
        return "; leave out the '-' before its keys" if is_split else ""
    if isinstance(found, str) and hasattr(item, "SHIPPED") and re.fullmatch(NAME, found):
        return f"; write [{found}]"
    if isinstance(found, list) and len(found) == 1 and kind in (str, int, float):
        return f"; write {shown(found)[1:-1]}" if kind in FITTING.get(type(found[0]), ()) else ""
    if isinstance(found, dict) and found and set(found) <= set(fields_of(item)):
        return "; put '- ' before the first of its keys, and indent the others as far"
    return _of_first_key(found, kind)


def _of_first_key(found: Any, kind: Any) -> str:
    """The mapping that one value is meant as, if its first key takes such a value and no other is needed."""
    fields = fields_of(kind)
    first = next(iter(fields), "")
    if not first or fields[first] not in FITTING.get(type(found), ()) or not {*needed_keys(kind)} <= {first}:
        return ""
    is_plain = not isinstance(found, str) or re.fullmatch(NAME, found)
    return f"; write {{{first}: {found}}}" if is_plain else ""


def _range(found: str) -> str:
    """The numbers of `1-4` and of `1..4`, written out."""
    match = re.fullmatch(r"(\d{1,9})\s*(?:-|\.\.\.?|:)\s*(\d{1,9})", found)
    if not match:
        return ""
    numbers = range(int(match[1]), int(match[2]) + 1)
    return f"; write {shown(list(numbers))}" if 1 < len(numbers) <= MOST_ITEMS else ""


def _pair(found: Any) -> tuple[Any, Any] | None:
    """The two numbers of `[16, 32]`, `(16, 32)` and `16-32`; None of anything else."""
    if isinstance(found, list) and len(found) == 2 and all(type(each) in NUMBERS for each in found):
        return found[0], found[1]
    number = r"(\d+(?:\.\d+)?)"
    if isinstance(found, str) and (
        match := re.fullmatch(rf"\(?{number}\s*(?:,|-|\.\.\.?|→|->)\s*{number}\)?", found)
    ):
        return match[1], match[2]
    return None

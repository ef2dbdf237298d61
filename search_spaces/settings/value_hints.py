"""The value that one of another kind may be meant as, for the end of a message about it."""

import re
import typing
from collections.abc import Collection, Mapping
from dataclasses import asdict, is_dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from search_spaces.settings.kinds import fields_of, item_kind, names_in
from search_spaces.settings.near_names import suggestion
from search_spaces.settings.number_hint import number_hint
from search_spaces.settings.places import is_shown_whole, shown

MOST_ITEMS = 16  # of a range that is written out
NUMBERS = (int, float)
FITTING: dict[type, tuple[type, ...]] = {
    str: (str,),
    int: NUMBERS,
    float: (float,),
}  # kinds that take a value
NAME = r"[\w./-]+"  # text that needs no quotes
NUMBER = r"(\d+(?:\.\d+)?)"
BETWEEN = r"\s+|\s*(?:-|\.\.\.?|→|->|:)\s*|\s*,\s+"  # the two numbers of a pair
# Without spaces, a comma may also be a decimal one (1,5), and a slash a division (1/64).
LARGE_PAIR = r"([1-9]\d+)\s*[,/]\s*([1-9]\d+)"
DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)\s*")
UNITS = {
    "ms": 0.001,
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3600),
    **dict.fromkeys(("d", "day", "days"), 86400),
}  # in seconds
MEANT_AS_TRUE = ("y", "t", "1", "enabled")
MEANT_AS_FALSE = ("n", "f", "0", "disabled")
LEAVE_OUT = "; leave the key out"


def value_hint(found: Any, kind: Any, *, expected: str, field: FieldInfo | None = None) -> str:
    """The end of a message about a value that is not of this kind; empty where nothing is known.

    Args:
        expected: the message's words for what is expected.
        field: where it is the value of a key, the key's.
    """
    if kind is bool:
        return _true_or_false(found)
    if not isinstance(found, str):
        return _of_shape(found, kind)
    if not is_shown_whole(found):  # nor would be the proposal
        return ""
    if found.lower() in ("none", "nil"):
        return _of_nothing(kind, field)
    if hint := _seconds(found) if expected.endswith("of seconds") else "":
        return hint
    if hint := _of_several(found, kind):  # before numbers: 16,32 is a pair where one is expected
        return hint
    if "number" in expected and (hint := number_hint(found, is_whole="whole number" in expected)):
        return hint
    return suggestion(found, names_in(kind)) or _of_shape(found, kind)


def list_hint(found: str, names: Collection[str]) -> str:
    """The list that a text of several names is meant as; empty of other texts."""
    parts = [part.strip() for part in found.split(",")]
    is_list = len(parts) > 1 and set(parts) <= set(names) and is_shown_whole(found)
    return f"; write [{', '.join(parts)}]" if is_list else ""


def _of_nothing(kind: Any, field: FieldInfo | None) -> str:
    """The text to write where nothing, or a key's default, is meant."""
    if field is None:
        return ""
    if field.is_required():
        return "; write {}, where nothing is meant" if typing.get_origin(kind) is dict else ""
    default = field.get_default(call_default_factory=True)
    parts = asdict(default).values() if is_dataclass(default) and not isinstance(default, type) else [default]
    # Of a ramp: from 0 to 0
    is_nothing = all(part is None or part == () or (type(part) in NUMBERS and not part) for part in parts)
    return f"{LEAVE_OUT}, where nothing is meant" if is_nothing else f"{LEAVE_OUT} for its default"


def _seconds(found: str) -> str:
    """The seconds of `10m`, `2 h` and `1h30m`; empty of other texts."""
    parts = DURATION.findall(found.lower())
    if not parts or DURATION.sub("", found.lower()) or not all(unit in UNITS for _, unit in parts):
        return ""
    return f"; write {sum(float(number) * UNITS[unit] for number, unit in parts):.12g}"


def _true_or_false(found: Any) -> str:
    word = str(found).lower()
    if word in MEANT_AS_TRUE:
        return "; write true"
    return "; write false" if word in MEANT_AS_FALSE else ""


def _of_several(found: Any, kind: Any) -> str:
    """The list or the mapping that several numbers are meant as."""
    if item_kind(kind) in NUMBERS and isinstance(found, str):
        return _range(found) or _numbers(found, r",\s+|\s+" if item_kind(kind) is float else r"\s*,\s*|\s+")
    fields = fields_of(kind)
    if len(fields) == 2 and {*fields.values()} <= {*NUMBERS} and (pair := _pair(found)):
        return _mapping(dict(zip(fields, pair, strict=True)), kind)
    return ""


def _of_shape(found: Any, kind: Any) -> str:
    """A hint about a list, a mapping or a single value where another of these is expected."""
    fields, item = fields_of(kind), item_kind(kind)
    if hint := _of_several(found, kind):
        return hint
    if fields and isinstance(found, list) and found and all(isinstance(each, dict) for each in found):
        keys = [key for each in found for key in each]
        is_split = len(set(keys)) == len(keys) and set(keys) <= set(fields)
        return "; leave out the '-' before its keys" if is_split else ""
    if isinstance(found, str) and hasattr(item, "SHIPPED") and re.fullmatch(NAME, found):
        return f"; write [{found}]"
    if isinstance(found, list) and len(found) == 1 and kind in (str, int, float) and is_shown_whole(found):
        return f"; write {shown(found)[1:-1]}" if kind in FITTING.get(type(found[0]), ()) else ""
    if isinstance(found, dict) and found and set(found) <= set(fields_of(item)):
        return "; put '- ' before the first of its keys, and indent the others as far"
    return _of_one_key(found, kind)


def _of_one_key(found: Any, kind: Any) -> str:
    """The mapping that one value is meant as: of the key that has it as a name, else of the first key."""
    fields = fields_of(kind)
    is_plain = not isinstance(found, str) or re.fullmatch(NAME, found)
    if not fields or not is_plain:
        return ""
    named = [key for key, inner in fields.items() if isinstance(found, str) and found in names_in(inner)]
    first = next(iter(fields))
    if len(named) != 1 and fields[first] not in FITTING.get(type(found), ()):
        return ""
    return _mapping({named[0] if len(named) == 1 else first: found}, kind)


def _mapping(proposed: Mapping[str, Any], kind: Any) -> str:
    """The words that propose a mapping; empty if it would be refused in its turn, or is too long."""
    try:
        TypeAdapter(kind).validate_python(proposed)
    except ValidationError:
        return ""
    return f"; write {shown(proposed)}" if is_shown_whole(proposed) else ""


def _range(found: str) -> str:
    """The numbers of `1-4`, `1:4` and `1..4`, written out."""
    match = re.fullmatch(r"(\d{1,9})\s*(?:-|\.\.\.?|:)\s*(\d{1,9})", found)
    if not match:
        return ""
    numbers = range(int(match[1]), int(match[2]) + 1)
    return f"; write {shown(list(numbers))}" if 1 < len(numbers) <= MOST_ITEMS else ""


def _numbers(found: str, separator: str) -> str:
    """The list of `1 2 4` and `1, 2, 4`; empty of 1,000."""
    parts = re.split(separator, found)
    is_list = len(parts) > 1 and all(re.fullmatch(r"(?:0|[1-9]\d*)(?:\.\d+)?", part) for part in parts)
    return f"; write [{', '.join(parts)}]" if is_list else ""


def _pair(found: Any) -> tuple[int | float, int | float] | None:
    """The two numbers of `[16, 32]`, `(16, 32)`, `16-32` and `16,32`; None of anything else."""
    if isinstance(found, list) and len(found) == 2 and all(type(each) in NUMBERS for each in found):
        return found[0], found[1]
    bracket = re.fullmatch(r"\((.*)\)", found) if isinstance(found, str) else None
    text = bracket[1].replace(",", ", ") if bracket else found
    if isinstance(text, str) and (
        match := re.fullmatch(rf"{NUMBER}(?:{BETWEEN}){NUMBER}", text) or re.fullmatch(LARGE_PAIR, text)
    ):
        return _number(match[1]), _number(match[2])
    return None


def _number(digits: str) -> int | float:
    return float(digits) if "." in digits else int(digits)

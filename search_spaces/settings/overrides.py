"""Values that the command line puts in the place of a file's: --set key.path=value."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from search_spaces.settings.kinds import fields_of, item_kind, value_kind
from search_spaces.settings.parsing import MAX_DEPTH, Location, plain_values
from search_spaces.settings.places import shown, steps_of
from search_spaces.settings.unknown_keys import no_such_key

KEY = re.compile(r"[^\s.\[\]=]+(\.[^\s.\[\]=]+|\[\d+\])*")
MAX_TYPED = 120


@dataclass(frozen=True)
class Override:
    """One value in the place of a file's."""

    key: str  # recipe.epochs, space.stages[0].layers
    text: str  # the value, as YAML
    typed: str  # as the command line had it, for messages
    typed_items: tuple[str, ...] = ()  # of a list whose items were typed one by one

    @property
    def location(self) -> Location:
        """Keys and indices of `key`."""
        return steps_of(self.key)


def override_of(words: str | Override) -> Override:
    """The override that `key.path=value` stands for.

    Raises:
        ValueError: it is not of this form.
    """
    if isinstance(words, Override):
        return words
    typed = f"--set {words}" if words.isprintable() else f"--set {words!r}"
    if len(typed) > MAX_TYPED:
        typed = f"{typed[:MAX_TYPED]}…"
    key, equals, text = words.partition("=")
    if not equals or not KEY.fullmatch(key.strip()):
        raise ValueError(f"{typed}: expected key.path=value, as in --set budget.trials=100")
    override = Override(key.strip(), text, typed)
    if len(override.location) > MAX_DEPTH:
        raise ValueError(f"{typed}: the path is more than {MAX_DEPTH} keys long")
    return override


def value_of(override: Override) -> Any:
    """The value that is given.

    Raises:
        ValueError: it is not YAML as a file may hold it.
    """
    try:
        return plain_values(override.text).value
    except ValueError as error:
        reason = re.sub(r"^line 1(, column \d+)?: (not valid YAML: )?", "", str(error))
        raise ValueError(f"the value is not valid YAML: {reason}") from None


def replaced(cls: type, mapping: Any, location: Sequence[str | int], value: Any) -> Any:
    """A copy of a mapping for `cls`, in which the value stands at the location.

    Raises:
        ValueError: there is no such place.
    """

    def copy_of(kind: Any, container: Any, location: Sequence[str | int]) -> Any:
        if not location:
            return value
        step, rest = location[0], location[1:]
        if isinstance(container, (list, tuple)):
            if not isinstance(step, int) or step >= len(container):
                there_are = f"items are 0 to {len(container) - 1}" if container else "the list is empty"
                raise ValueError(f"there is no item {step}; {there_are}")
            items = list(container)
            items[step] = copy_of(item_kind(kind), items[step], rest)
            return items
        if not isinstance(container, dict | None):
            inside = f"'{step}' is inside a plain value ({shown(container)})"
            raise ValueError(f"{inside}; replace the whole of it")
        fields = fields_of(kind)
        if fields and step not in fields:
            raise ValueError(no_such_key(cls, str(step), fields))
        copy = dict(container or {})
        copy[str(step)] = copy_of(value_kind(kind, step), copy.get(str(step)), rest)
        return copy

    return copy_of(cls, mapping, location)

"""JSON texts that others may have written, or damaged."""

import json
from typing import Any

DEEPEST_JSON = (
    64  # of lists and mappings in each other; functions that walk through a value may call themselves
)


def json_value(text: str | bytes) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: it is not JSON, not UTF-8, or nested too deeply.
    """
    try:
        value = json.loads(text)
    except RecursionError:
        raise _too_deep() from None
    level = [value]
    for _ in range(DEEPEST_JSON + 1):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return value
    raise _too_deep()


def _inside(value: Any) -> list[Any]:
    """The lists and mappings that a value holds."""
    values = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [each for each in values if isinstance(each, (dict, list))]


def _too_deep() -> ValueError:
    return ValueError(f"nested more than {DEEPEST_JSON} deep")

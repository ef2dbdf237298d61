"""Readable YAML text of plain values: blocks at the top, one aligned row for each mapping of a list."""

import re
from functools import lru_cache
from typing import Any

import yaml

from search_spaces.settings.parsing import is_plain_text


def laid_out(mapping: dict[str, Any]) -> str:
    """The text of a mapping of plain values; `parsing` reads equal values from it."""
    return _block(mapping, "")


def _block(mapping: dict[str, Any], indent: str) -> str:
    """A line for each key: short values behind it, long mappings and lists of mappings below it."""
    text = ""
    for key, value in mapping.items():
        written = _flow(key)
        if isinstance(value, dict) and value and len(indent + written + _flow(value)) > 100:
            text += f"{indent}{written}:\n" + _block(value, indent + "  ")
        elif isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            text += f"{indent}{written}:\n" + "".join(f"{indent}- {row}\n" for row in _aligned(value))
        else:
            text += f"{indent}{written}: {_flow(value)}\n"
    return text


def _aligned(rows: list[dict[str, Any]]) -> list[str]:
    """A line for each mapping; where all have the same keys, their values stand below each other."""
    cells = [{key: _flow(value) for key, value in row.items()} for row in rows]
    if any(list(row) != list(cells[0]) for row in cells):
        return ["{" + ", ".join(f"{key}: {value}" for key, value in row.items()) + "}" for row in cells]
    widths = {key: max(len(row[key]) for row in cells) for key in cells[0]}
    # Numbers are aligned to the right; text is followed by its comma, then by spaces.
    lines = []
    for row, original in zip(cells, rows, strict=True):
        parts = []
        for key, value in row.items():
            number = isinstance(original[key], (int, float)) and not isinstance(original[key], bool)
            parts.append(f"{key}: {value.rjust(widths[key])}" if number else f"{key}: {value}")
            if not number:
                parts[-1] += "," + " " * (widths[key] - len(value))
            else:
                parts[-1] += ","
        lines.append("{" + " ".join(parts).rstrip().rstrip(",") + "}")
    return lines


def _flow(value: Any) -> str:
    """A value in one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_flow(key)}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, float):
        text = repr(value)
        return text if "." in text or "e" not in text else text.replace("e", ".0e")
    return _scalar(value)


@lru_cache(maxsize=10_000, typed=True)  # the same few words and numbers in every file
def _scalar(value: str | int | None) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True).strip()
    text = text.removesuffix("...").strip()
    return (
        yaml.safe_dump(value, default_style='"', width=10_000).strip() if _needs_quotes(value, text) else text
    )


def _needs_quotes(value: Any, text: str) -> bool:
    """Text must not hold the punctuation of [] and {}, and text that looks like a number must stay text.

    Within {} a question mark ends text, and begins a key.
    """
    if not isinstance(value, str):
        return False
    if not value.isprintable():
        return True
    if text[:1] in "'\"":
        return False
    return bool(re.search(r"[\[\]{},:#?]", value)) or not is_plain_text(text)

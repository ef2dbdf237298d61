"""Strict YAML to frozen dataclasses: unknown keys, wrong types and odd files are refused by place."""

import dataclasses
import math
import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError

from search_spaces.settings.messages import (
    MAX_PROBLEMS,
    fields_of,
    item_kind,
    known_keys,
    not_numbers,
    place_of,
    problems,
    shown,
    suggestion,
)
from search_spaces.settings.parsing import is_plain_text, plain_values

T = TypeVar("T")

MAX_BYTES = 1 << 20
KINDS = {
    type(None): "nothing",
    list: "a list",
    str: "text",
    bool: "true or false",
    int: "a number",
    float: "a number",
}


class ConfigError(ValueError):
    """Something that a user wrote is not right; the message says where, what and what to do."""


# ---------------------------------------------------------------------- reading


def read_yaml(cls: type[T], source: str | Path, *, overrides: Sequence[str] = ()) -> T:
    """An object of `cls` from a YAML file, or from the shipped file of that name.

    A string where a mapping of a shipped kind (`cls.SHIPPED`) is expected names the file that holds it:
    beside the file that names it, then among the shipped ones. `overrides` are `key.path=value`, checked like
    the file.

    Raises:
        ConfigError: every problem, up to ten, each with file and path.
    """
    path = _locate(cls, str(source), folder=None, where=str(source))
    mapping = _load(path)
    return from_mapping(cls, mapping, name=path.name, folder=path.parent, overrides=overrides)


def from_mapping(
    cls: type[T],
    mapping: Any,
    *,
    name: str,
    folder: Path | None = None,
    overrides: Sequence[str] = (),
) -> T:
    """An object of `cls` from plain values; `name` stands for the file in messages."""
    mapping = _with_named_files(cls, mapping, name=name, folder=folder)
    for override in overrides:
        mapping = _overridden(cls, mapping, override)
    _refuse_non_finite(mapping, name)
    if found := list(not_numbers(cls, mapping)):
        raise ConfigError("\n".join(f"{name}: {line}" for line in found[:MAX_PROBLEMS]))
    try:
        return TypeAdapter(cls).validate_python(mapping)
    except ValidationError as error:
        raise ConfigError("\n".join(problems(cls, mapping, error, name))) from None


def _locate(cls: type, source: str, *, folder: Path | None, where: str) -> Path:
    shipped: Path | None = getattr(cls, "SHIPPED", None)
    candidates = [Path(source)] if folder is None else [folder / source, folder / f"{source}.yaml"]
    if shipped is not None and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", source):
        candidates.append(shipped / f"{source}.yaml")
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    if Path(source).is_dir():
        raise ConfigError(f"{where}: this is a folder; a YAML file is expected")
    message = f"{where}: there is no such file"
    if shipped is not None:
        names = sorted(path.stem for path in shipped.glob("*.yaml"))
        message += f", and no shipped one of that name; shipped are {', '.join(names)}"
        message += suggestion(Path(source).stem, names)
    raise ConfigError(message)


def _load(path: Path, *, where: str = "") -> Any:
    """The file's mapping; messages begin with `where` it was named, if a file named it."""
    name = f"{where}{path.name}"
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ConfigError(
                f"{name}: {path.stat().st_size:,} bytes; a YAML file of ours is below {MAX_BYTES:,}"
            )
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{name}: not a text file (byte {error.start} is not UTF-8)") from None
    except OSError as error:
        raise ConfigError(f"{where}{path}: cannot be read: {error.strerror}") from None
    return parse_yaml(text, name=name)


def peek_yaml(path: Path) -> dict[str, Any]:
    """A first look at what kind of file this is; empty where `read_yaml` will say what is wrong with it."""
    try:
        found: dict[str, Any] = _load(path)
    except ConfigError:
        return {}
    return found


def parse_yaml(text: str, *, name: str) -> Any:
    """The plain values of one YAML mapping; `name` stands for the file in messages.

    Raises:
        ConfigError: it is no mapping, or not YAML as `plain_values` reads it.
    """
    try:
        value = plain_values(text).value
    except ValueError as error:
        raise ConfigError(f"{name}: {error}") from None
    if not isinstance(value, dict):
        found = KINDS.get(type(value), type(value).__name__)
        raise ConfigError(f"{name}: holds {found}; a mapping (key: value lines) is expected")
    return value


def _refuse_non_finite(value: Any, name: str, location: tuple[Any, ...] = ()) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            _refuse_non_finite(item, name, (*location, key))
    elif isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            _refuse_non_finite(item, name, (*location, i))
    elif isinstance(value, float) and not math.isfinite(value):
        place = f"{place_of(location)}: " if location else ""
        raise ConfigError(f"{name}: {place}{value} is not a number that can be used here; give a finite one")


# ---------------------------------------------------------------------- names of files, overrides


def _with_named_files(cls: type, mapping: Any, *, name: str, folder: Path | None) -> Any:
    """The mapping with files' contents in the place of their names, where `cls` expects a shipped kind."""
    if not isinstance(mapping, dict):
        return mapping
    result = dict(mapping)
    for key, kind in fields_of(cls).items():
        if key not in result:
            continue
        value, item = result[key], item_kind(kind)
        if hasattr(kind, "SHIPPED"):
            result[key] = _with_named_file(kind, value, key, name=name, folder=folder)
        elif hasattr(item, "SHIPPED") and isinstance(value, (list, tuple)):
            result[key] = [
                _with_named_file(item, part, f"{key}[{i}]", name=name, folder=folder)
                for i, part in enumerate(value)
            ]
    return result


def _with_named_file(kind: type, value: Any, key: str, *, name: str, folder: Path | None) -> Any:
    if not isinstance(value, str):
        return _with_named_files(kind, value, name=name, folder=folder)
    path = _locate(kind, value, folder=folder or Path(), where=f"{name}: {key}: {shown(value)}")
    where = f"{name}: {key}: "
    return _with_named_files(kind, _load(path, where=where), name=where + path.name, folder=path.parent)


def _overridden(cls: type, mapping: Any, override: str) -> Any:
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set {override}: expected key.path=value, as in --set budget.trials=100")
    try:
        value = plain_values(text).value
    except ValueError as error:
        raise ConfigError(f"--set {override}: the value: {error}") from None
    steps = [int(step) if step.isdigit() else step for step in re.findall(r"[^.\[\]]+", key)]
    result = _set(cls, mapping, steps, value, f"--set {key}")
    # What is typed is meant from where it is typed; the file's own names have been read before.
    return _with_named_files(cls, result, name="--set", folder=Path())


def _set(kind: Any, container: Any, steps: list[str | int], value: Any, where: str) -> Any:
    if not steps:
        return value
    step, rest = steps[0], steps[1:]
    if isinstance(container, (list, tuple)):
        if not isinstance(step, int) or step >= len(container):
            raise ConfigError(f"{where}: there is no item {step}; items are 0 to {len(container) - 1}")
        items = list(container)
        items[step] = _set(item_kind(kind), items[step], rest, value, where)
        return items
    if not isinstance(container, dict | None):
        raise ConfigError(f"{where}: '{step}' is inside a plain value ({container!r})")
    fields = fields_of(kind)
    if fields and step not in fields:
        raise ConfigError(f"{where}: '{step}' is not a key here; {known_keys(str(step), fields)}")
    inner = dict(container or {})
    inner[step] = _set(fields.get(str(step)), inner.get(step), rest, value, where)
    return inner


# ---------------------------------------------------------------------- writing


def to_mapping(value: Any) -> Any:
    """Plain values (mappings, lists, numbers, text) of a dataclass; fields that are None are left out."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        items = ((field.name, getattr(value, field.name)) for field in dataclasses.fields(value))
        return {name: to_mapping(item) for name, item in items if item is not None}
    if isinstance(value, dict):
        return {key: to_mapping(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_mapping(item) for item in value]
    return value


def yaml_text(value: Any, *, header: str = "") -> str:
    """Readable YAML: blocks at the top, one aligned row per stage. Reads back to an equal object."""
    comment = "".join(f"# {line}\n" for line in header.splitlines())
    return comment + _block(to_mapping(value), "")


def write_yaml(value: Any, path: Path, *, header: str = "") -> None:
    """Writes the text of `value` in one go: a reader sees the old file or the new one."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(yaml_text(value, header=header))
    os.replace(temporary, path)


def _block(mapping: dict[str, Any], indent: str) -> str:
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
    """Flow mappings whose values stand below each other, where all rows have the same keys."""
    cells = [{key: _flow(value) for key, value in row.items()} for row in rows]
    if any(list(row) != list(cells[0]) for row in cells):
        return ["{" + ", ".join(f"{key}: {value}" for key, value in row.items()) + "}" for row in cells]
    widths = {key: max(len(row[key]) for row in cells) for key in cells[0]}
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
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_flow(key)}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, float):
        text = repr(value)
        return text if "." in text or "e" not in text else text.replace("e", ".0e")
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True).strip()
    text = text.removesuffix("...").strip()
    return (
        yaml.safe_dump(value, default_style='"', width=10_000).strip() if _needs_quotes(value, text) else text
    )


def _needs_quotes(value: Any, text: str) -> bool:
    """Text must not hold the punctuation of [] and {}, and text that looks like a number must stay text."""
    if not isinstance(value, str):
        return False
    if not value.isprintable():
        return True
    if text[:1] in "'\"":
        return False
    return bool(re.search(r"[\[\]{},:#]", value)) or not is_plain_text(text)

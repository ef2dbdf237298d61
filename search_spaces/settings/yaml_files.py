"""Frozen dataclasses from YAML files, strictly, and back: every mistake is refused by its place."""

import dataclasses
import math
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.kinds import fields_of, item_kind, kind_at, said_fields, value_kind, words_for
from search_spaces.settings.messages import Complaint, checked
from search_spaces.settings.near_names import VERY_CLOSE, suggestion
from search_spaces.settings.origins import Origin, Origins, origin_of, said_of
from search_spaces.settings.overrides import Override, override_of, replaced, value_of
from search_spaces.settings.parsing import Location, PlainYaml, plain_values, text_of_file
from search_spaces.settings.places import place_of, shown, value_at
from search_spaces.settings.unfinished_files import unfinished_name
from search_spaces.settings.yaml_layout import laid_out

T = TypeVar("T")
Faults = dict[Location, str]  # sentences by place

MAX_PROBLEMS = 10
PLAIN = frozenset({int, float, str, bool, type(None)})  # types of values that are written as they are
SHIPPED_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
KINDS = {
    type(None): "nothing",
    list: "a list",
    str: "text",
    bool: "true or false",
    int: "a number",
    float: "a number",
}


# ---------------------------------------------------------------------- reading


def read_yaml(
    cls: type[T], source: str | Path, *, overrides: Sequence[str | Override] = (), recorded: bool = False
) -> T:
    """An object of `cls` from a YAML file, or from the shipped file of that name.

    A string where a mapping of a shipped kind (`cls.SHIPPED`) is expected names the file that holds it:
    beside the file that names it, then among the shipped ones; never a file that is being read. `overrides`
    are `key.path=value`, checked like the file. `recorded`: see `messages.RECORDED`.

    Raises:
        ConfigError: every problem, up to ten, each with the file or the override that holds it and its path.
    """
    mapping, origin = _file(cls, source)
    return _made(cls, mapping, origin, overrides, recorded=recorded)


def read_origins(cls: type, source: str | Path, *, overrides: Sequence[str | Override] = ()) -> Origins:
    """The origin of each part of what `read_yaml` reads.

    Raises:
        ConfigError: a file or an override cannot be read; what they say is not checked.
    """
    mapping, origin = _file(cls, source)
    return _overridden(_written(cls, mapping, origin), [_override(words) for words in overrides])[1]


def from_mapping(
    cls: type[T],
    mapping: Any,
    *,
    name: str,
    overrides: Sequence[str | Override] = (),
    typed: Mapping[Location, str] | None = None,
    recorded: bool = False,
) -> T:
    """An object of `cls` from plain values; `name` stands for the file in messages.

    Args:
        typed: options of the command line that gave parts of the mapping, by the place of the part.
        recorded: see `messages.RECORDED`.

    Raises:
        ConfigError: as `read_yaml`.
    """
    return _made(cls, mapping, Origin(name, folder=Path()), overrides, typed or {}, recorded=recorded)


def parse_yaml(text: str, *, name: str) -> Any:
    """The plain values of one YAML mapping; `name` stands for the file in messages.

    Raises:
        ConfigError: it is no mapping, or not YAML as `plain_values` reads it.
    """
    try:
        value = plain_values(text).value
    except ValueError as error:
        raise ConfigError(f"{name}: {error}") from None
    _check_mapping(value, Origin(name))
    return value


def peek_yaml(path: Path) -> dict[str, Any]:
    """A first look at what kind of file this is; empty where `read_yaml` will say what is wrong with it."""
    try:
        found = _parsed(path, Origin(path.name)).value
    except ConfigError:
        return {}
    return found if isinstance(found, dict) else {}


def _made(
    cls: type[T],
    mapping: Any,
    origin: Origin,
    overrides: Sequence[str | Override],
    typed: Mapping[Location, str] | None = None,
    *,
    recorded: bool = False,
) -> T:
    written = _written(cls, mapping, origin, typed)
    # Overrides come in the order in which they were typed, over what files say.
    given = [_override(words) for words in overrides]
    whole, owners = _overridden(written, given)
    # The whole is checked at once, and every complaint goes to the origin of its place.
    made, found = checked(cls, whole, recorded=recorded)
    still = [at for at in written.faults if origin_of(owners, at) is origin_of(written.origins, at)]
    faults = {at: written.faults[at] for at in still}  # where no override stands in their place
    if faults:  # keys that may stand in unreadable files are not missing
        found = [each for each in found if not any(each.location[: len(at)] == at for at in faults)]
    if made is None or faults:
        raise ConfigError("\n".join([*faults.values(), *_lines(found, owners, written, given)]))
    return made


@dataclasses.dataclass(frozen=True)
class _Written:
    """The files' content, before any override."""

    cls: type
    mapping: Any
    origins: Origins
    faults: Faults  # files that are named and cannot be read


def _written(
    cls: type, mapping: Any, origin: Origin, typed: Mapping[Location, str] | None = None
) -> _Written:
    """The mapping with the contents of files in the place of their names, and each part's origin."""
    origins: Origins = {(): origin}
    origins |= {place: origin.option(words, place) for place, words in (typed or {}).items()}
    faults: Faults = {}
    return _Written(cls, _with_named_files(cls, mapping, (), origins, faults), origins, faults)


def _lines(
    found: Sequence[Complaint], owners: Origins, written: _Written, given: Sequence[Override]
) -> list[str]:
    """A line for each complaint, which begins with the file or the options that it is about."""
    # In the order of the main file's lines; what is not in it comes last.
    main = written.origins[()]
    found = sorted(found, key=lambda complaint: main.line_of(complaint.location) or math.inf)
    by_files = _complaints(written, [], found)
    by_others = [_complaints(written, [*given[:i], *given[i + 1 :]], found) for i in range(len(given))]
    lines = []
    for complaint in found[:MAX_PROBLEMS]:
        owner = origin_of(owners, complaint.location)
        reasons: list[str] = []
        if not owner.is_option and complaint not in by_files:
            naming = {outer.name for outer in owner.led_here}
            found_reasons = _reasons(complaint, given, by_others)
            reasons = [each.typed for each in found_reasons if not naming & {each.typed, *each.typed_items}]
        said = said_of(owner, *complaint, because_of=reasons)
        lines.append(said + _in_named_file(complaint, owners, written))
    if len(found) > MAX_PROBLEMS:
        lines.append(f"{written.origins[()].name}: and {len(found) - MAX_PROBLEMS} more problems")
    return lines


def _in_named_file(complaint: Complaint, owners: Origins, written: _Written) -> str:
    """Words about a file that the key meant belongs into: one sets it there by --set, or in one's own."""
    value = value_at(written.mapping, complaint.location)
    for place, file in owners.items():
        # Where it may belong into several places, it is not for us to choose one.
        inner = re.search(rf"\(did you mean '({re.escape(place_of(place))}\.\w+)'\?", complaint.sentence)
        if inner and len(place) == 1 and not file.is_option and isinstance(value, int | float):
            replaced_by = f"--set {inner[1]}={shown(value)}"
            return f"; {place_of(place)} is read from {file.name}: replace its value by {replaced_by}"
    return ""


def _reasons(
    complaint: Complaint, given: Sequence[Override], by_others: Sequence[Sequence[Complaint]]
) -> list[Override]:
    """The options without which a file would be right; `by_others` is what is wrong without each one."""
    place = complaint.location
    mends = [all(rest.location != place for rest in others) for others in by_others]
    changes = [complaint not in others for others in by_others]
    # Where no option alone mends the place, those that change what is said; where none does, all of them.
    chosen = next((each for each in (mends, changes) if any(each)), [True] * len(given))
    return [override for override, is_one in zip(given, chosen, strict=True) if is_one]


def _complaints(
    written: _Written, given: Sequence[Override], found: Sequence[Complaint]
) -> Sequence[Complaint]:
    """Everything that would be wrong with these overrides alone; `found` where they need another one."""
    try:
        return checked(written.cls, _overridden(written, given)[0])[1]
    except ConfigError:
        return found


# ---------------------------------------------------------------------- files


def _file(cls: type, source: str | Path) -> tuple[Any, Origin]:
    """The mapping of a file for `cls`, or of the shipped one of that name, and its origin."""
    path = _located(cls, [Path(source)], str(source), Origin(str(source)))
    origin = Origin(path.name, folder=path.parent, reading=(path,))
    parsed = _parsed(path, origin)
    _check_mapping(parsed.value, origin, cls)
    return parsed.value, dataclasses.replace(origin, lines=parsed.lines)


def _located(kind: type, candidates: list[Path], written: str, origin: Origin, at: Location = ()) -> Path:
    """The first of the candidates that is a file, else the shipped file of that name."""
    if not written:
        raise ConfigError(said_of(origin, at, f"empty text given; expected {words_for(kind)}"))
    shipped: Path | None = getattr(kind, "SHIPPED", None)
    if shipped is not None and SHIPPED_NAME.fullmatch(written):
        candidates = [*candidates, shipped / f"{written}.yaml"]
    files = [path for path in candidates if os.path.isfile(path)]
    # A file that is being read cannot be meant: tiny.yaml with "space: tiny" names the shipped space.
    being_read = [path for path in files if any(path.samefile(other) for other in origin.reading)]
    for path in files:
        if path not in being_read:
            return path
    word = f"{shown(written)}: " if at else ""
    if being_read:
        names = [path.name for path in (*origin.reading, being_read[0])]
        circle = f"{names[0]} names {', which names '.join(names[1:])}"
        raise ConfigError(said_of(origin, at, f"{word}this is a circle: {circle}; name another file"))
    if os.path.isdir(candidates[0]):
        raise ConfigError(said_of(origin, at, f"{word}this is a folder; a YAML file is expected"))
    sentence = f"{word}there is no such file"
    if shipped is not None:
        names = sorted(path.stem for path in shipped.glob("*.yaml"))
        sentence += f", and no shipped one of that name; shipped are {', '.join(names)}"
        sentence += suggestion(Path(written).stem, names, close=VERY_CLOSE)
    raise ConfigError(said_of(origin, at, sentence))


def _parsed(path: Path, origin: Origin) -> PlainYaml:
    """The plain values of a file; `origin` stands for it in messages."""
    try:
        return plain_values(text_of_file(path))
    except ValueError as error:
        raise ConfigError(said_of(origin, origin.at, str(error))) from None


def _check_mapping(value: Any, origin: Origin, kind: Any = None) -> None:
    if not isinstance(value, dict):
        found = KINDS.get(type(value), type(value).__name__)
        keys = f", with the keys {', '.join(fields_of(kind))}" if fields_of(kind) else ""
        sentence = f"holds {found}; a mapping (key: value lines) is expected{keys}"
        if isinstance(value, str):
            given = re.findall(r"([\w-]+)\s*=(?!=)", value)
            if sum(key in fields_of(kind) for key in given) > len(given) / 2:
                sentence += "; write ': ' in the place of each '='"
        raise ConfigError(said_of(origin, origin.at, sentence))


def _with_named_files(
    kind: Any, value: Any, at: Location, origins: Origins, faults: Faults | None = None
) -> Any:
    """The value with files' contents in the place of their names, where a shipped kind is expected.

    Enters each file that is read into `origins`, and what is wrong with one that cannot be into `faults`.

    Raises:
        ConfigError: without `faults`, the first of these.
    """
    if faults is not None:
        try:
            return _with_named_files_below(kind, value, at, origins, faults)
        except ConfigError as error:
            if not at:
                raise
            faults[at] = str(error)
            return value
    return _with_named_files_below(kind, value, at, origins, faults)


def _with_named_files_below(
    kind: Any, value: Any, at: Location, origins: Origins, faults: Faults | None
) -> Any:
    if at and hasattr(kind, "SHIPPED") and isinstance(value, str):
        origin = origin_of(origins, at)
        beside = [origin.folder / value, origin.folder / f"{value}.yaml"]
        path = _located(kind, beside, value, origin, at)
        file = origin.file(path, value, at)
        parsed = _parsed(path, file)
        _check_mapping(parsed.value, file, kind)
        origins[at] = dataclasses.replace(file, lines=parsed.lines)
        value = parsed.value
    if isinstance(value, dict) and fields_of(kind):
        return {
            key: _with_named_files(value_kind(kind, key), item, (*at, key), origins, faults)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)) and (inner := item_kind(kind)) is not None:
        return [_with_named_files(inner, item, (*at, i), origins, faults) for i, item in enumerate(value)]
    return value


# ---------------------------------------------------------------------- overrides


def _override(words: str | Override) -> Override:
    try:
        return override_of(words)
    except ValueError as error:
        raise ConfigError(str(error)) from None


def _overridden(written: _Written, given: Sequence[Override]) -> tuple[Any, Origins]:
    """The mapping with the overrides' values, and the origin of each part of it."""
    whole, owners = written.mapping, written.origins
    for override in given:
        at = override.location
        whole_origin = written.origins[()]
        own: Origins = {at: whole_origin.option(override.typed, at)}
        items = {(*at, i): typed for i, typed in enumerate(override.typed_items)}
        own |= {place: whole_origin.option(typed, place) for place, typed in items.items()}
        try:
            value = _with_named_files(kind_at(written.cls, at), value_of(override), at, own)
            whole = replaced(written.cls, whole, at, value)
        except ConfigError:
            raise
        except ValueError as error:
            raise ConfigError(f"{override.typed}: {error}") from None
        owners = {place: owner for place, owner in owners.items() if place[: len(at)] != at} | own
    return whole, owners


# ---------------------------------------------------------------------- writing


def to_mapping(value: Any) -> Any:
    """Plain values (mappings, lists, numbers, text) of a dataclass.

    Fields that are None are left out, and those that say nothing (`said_fields`).
    """
    if type(value) in PLAIN:  # most are, and asking what else they could be takes longest
        return value
    if hasattr(value, "WRITTEN_AS"):
        return to_mapping(value.written)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {name: to_mapping(item) for name, item in said_fields(value).items() if item is not None}
    if isinstance(value, dict):
        return {key: to_mapping(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_mapping(item) for item in value]
    return value


def yaml_text(value: Any, *, header: str = "") -> str:
    """Readable YAML: blocks at the top, one aligned row per stage. Reads back to an equal object."""
    comment = "".join(f"# {line}\n" for line in header.splitlines())
    return comment + laid_out(to_mapping(value))


def write_yaml(value: Any, path: Path, *, header: str = "") -> None:
    """Writes the text of `value` in one go: a reader sees the old file or the new one."""
    text = yaml_text(value, header=header)
    temporary = unfinished_name(path)
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)

"""Settings in which the search files of several runs differ."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nas.search.config import SearchConfig
from search_spaces.settings.places import MAX_SHOWN, shown
from search_spaces.settings.yaml_files import to_mapping

# What runs of equal settings may differ in: the seed, how long they went on, and where and how they ran.
OF_EACH_RUN = ("seed", "budget", "checkpoint_dir", "stall_timeout")
LACKING = "–"  # a setting that a file does not have


def different_settings(configs: Sequence[SearchConfig]) -> dict[str, tuple[str, ...]]:
    """Each setting in which the files differ, by its path, with its value in each file."""
    return different([settings_of(config) for config in configs])


def different(files: Sequence[Mapping[str, Any]]) -> dict[str, tuple[str, ...]]:
    """As `different_settings`, of settings as plain values."""
    return dict(_different(files, ""))


def settings_of(config: SearchConfig, *, with_source: bool = True) -> dict[str, Any]:
    """A search file's settings as plain values, on request without the place where its images lie."""
    found = to_mapping(config)
    if not with_source:
        found["data"] = {key: value for key, value in found["data"].items() if key != "source"}
    return found


def shared_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings without those in which equal searches may differ."""
    return {key: value for key, value in settings.items() if key not in OF_EACH_RUN}


def _different(values: Sequence[Any], path: str) -> Iterable[tuple[str, tuple[str, ...]]]:
    if all(value == values[0] for value in values):
        return
    known = [value for value in values if value is not None]
    if known and all(isinstance(value, Mapping) for value in known):
        # A file that lacks the whole mapping lacks each of its keys.
        for key in sorted({key for value in known for key in value}):
            yield from _different([(value or {}).get(key) for value in values], f"{path}.{key}".lstrip("."))
    elif _are_lists_alike(values):
        for i, items in enumerate(zip(*values, strict=True)):
            yield from _different(items, f"{path}[{i}]")
    else:
        yield path, tuple(map(_words, values))


def _words(value: Any) -> str:
    """A value as a table shows it: text without quotes."""
    if value is None:
        return LACKING
    is_plain = isinstance(value, str) and value.isprintable() and len(value) <= MAX_SHOWN
    return value if is_plain else shown(value)


def _are_lists_alike(values: Sequence[Any]) -> bool:
    """True of equally long lists of mappings or lists; those of plain values are shown whole."""
    return all(isinstance(value, list) for value in values) and (
        len({len(value) for value in values}) == 1
        and any(isinstance(item, dict | list) for value in values for item in value)
    )

"""Comparison of a search with the configuration that its run was made with."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from nas.search.config import SearchConfig
from nas.search.recorded_config import config_of
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.places import shown
from search_spaces.settings.yaml_files import parse_yaml, to_mapping
from trials.log.file_names import DATA_FILE, SEARCH_FILE, WARM_START_FILE
from trials.log.identity import Identity, is_search_file_changed, refuse_changed_files
from trials.log.run_reader import recorded_identity

MAY_CHANGE = ("budget", "checkpoint_dir", "stall_timeout")


SEARCH_FILE_NOT_RECORDED = (
    "an earlier version began this run, and did not record its search file; it is recorded now, and "
    "compared from now on"
)


def as_begun(config: SearchConfig, folder: Path) -> SearchConfig:
    """The configuration of a run that goes on: of one that an earlier version began, with its defaults."""
    identity = recorded_identity(folder)
    try:
        text = identity.search if identity is not None else (folder / SEARCH_FILE).read_text()
        recorded = parse_yaml(text, name=str(folder / SEARCH_FILE)).get("recipe")
    except (OSError, ValueError):
        return config  # its check says what is wrong with it
    recipe = config.recipe.as_begun(recorded if isinstance(recorded, dict) else {})
    return config if recipe == config.recipe else replace(config, recipe=recipe)


def check_same_search(config: SearchConfig, folder: Path) -> list[str]:
    """A run is continued with the configuration that it was made with; only MAY_CHANGE may change.

    Where recorded images lie may change, too: they are compared themselves.

    Returns:
        Sentences about what has changed, or was not recorded.

    Raises:
        ConfigError: with the keys that differ; or a file on which the search depends is not as recorded.
    """
    identity = recorded_identity(folder)
    if identity is not None:
        refuse_changed_files(folder, identity, may_be_gone=WARM_START_FILE)
    before, now = to_mapping(config_of(folder, identity)), to_mapping(config)
    changes = [line for name in MAY_CHANGE for line in differences(before.get(name), now.get(name), name)]
    for name in MAY_CHANGE:
        before.pop(name, None), now.pop(name, None)
    if (folder / DATA_FILE).is_file():
        sources = before["data"].pop("source"), now["data"].pop("source")
        changes += differences(*sources, "data.source")
    found = list(differences(before, now, ""))
    if found:
        words = ", ".join(MAY_CHANGE)
        raise ConfigError(
            f"{folder}: this run was made with another configuration; only {words} may change:\n"
            + "\n".join(f"  {line}" for line in found)
            + f"\n{_way_back(folder, identity)}, or choose another --run"
        )
    if identity is None:
        return [SEARCH_FILE_NOT_RECORDED]
    if is_search_file_changed(folder, identity):
        changes.append(f"{folder}/{SEARCH_FILE} was not as the log has recorded it; it is written anew")
    return changes


def _way_back(folder: Path, identity: Identity | None) -> str:
    if identity is not None and is_search_file_changed(folder, identity):
        return f"Put {SEARCH_FILE} back by nas verify {folder} --repair and continue with that"
    return "Continue with the recorded one"


def differences(before: Any, now: Any, path: str) -> Iterator[str]:
    """The places at which two plain values differ, and how."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted(before.keys() | now.keys()):
            yield from differences(before.get(key), now.get(key), f"{path}.{key}".lstrip("."))
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for i, (a, b) in enumerate(zip(before, now, strict=True)):
            yield from differences(a, b, f"{path}[{i}]")
    elif before != now:
        yield f"{path}: the run has {shown(before)}, now {shown(now)}"

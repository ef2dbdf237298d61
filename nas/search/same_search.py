"""Comparison of a search with the configuration that its run was made with."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nas.search.config import SearchConfig
from nas.search.recorded_config import recorded_config
from search_spaces.settings.messages import shown
from search_spaces.settings.yaml_files import ConfigError, to_mapping
from trials.images.data_record import FACTS

MAY_CHANGE = ("budget", "checkpoint_dir", "stall_timeout")


def check_same_search(config: SearchConfig, folder: Path) -> None:
    """A run is continued with the configuration that it was made with; only MAY_CHANGE may change.

    Where recorded images lie may change, too: they are compared themselves.

    Raises:
        ConfigError: with the keys that differ.
    """
    recorded = recorded_config(folder)
    before, now = to_mapping(recorded), to_mapping(config)
    for name in MAY_CHANGE:
        before.pop(name, None), now.pop(name, None)
    if (folder / FACTS).is_file():
        before["data"].pop("source"), now["data"].pop("source")
    found = list(differences(before, now, ""))
    if found:
        words = ", ".join(MAY_CHANGE)
        raise ConfigError(
            f"{folder}: this run was made with another configuration; only {words} may change:\n"
            + "\n".join(f"  {line}" for line in found)
            + "\nContinue with the recorded one, or choose another --run"
        )


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

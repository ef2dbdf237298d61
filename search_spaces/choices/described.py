"""An architecture or a space, whichever a file or a shipped name describes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from search_spaces.choices.space import SearchSpace
from search_spaces.networks.architecture import Architecture
from search_spaces.settings.yaml_files import ConfigError, peek_yaml, read_yaml


def read_described(source: str) -> Architecture | SearchSpace:
    """The architecture or the space of a file or a shipped name.

    Raises:
        ConfigError: it is neither.
    """
    path = Path(source)
    if not path.is_file():
        if source in {file.stem for file in SearchSpace.SHIPPED.glob("*.yaml")}:
            return read_yaml(SearchSpace, source)
        return read_yaml(Architecture, source)
    content = peek_yaml(path)
    if "space" in content:
        raise ConfigError(f"{source}: this is a search file; an architecture or a space is expected")
    if _offers_choices(content):
        return read_yaml(SearchSpace, path)
    return read_yaml(Architecture, path)


def _offers_choices(content: Mapping[str, Any]) -> bool:
    """Whether this looks like a space, which may well have mistakes in it, rather than an architecture."""
    stages = content.get("stages")
    rows = [row for row in stages if isinstance(row, dict)] if isinstance(stages, list) else []
    return bool({"reference", "limits"} & content.keys()) or any(
        isinstance(value, list) for row in rows for value in row.values()
    )

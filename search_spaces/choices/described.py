"""Reads a file or a shipped name that may describe an architecture or a search space."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from search_spaces.choices.space import SearchSpace
from search_spaces.networks.architecture import Architecture
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.yaml_files import peek_yaml, read_yaml


def read_described(source: str) -> Architecture | SearchSpace:
    """The architecture or the search space that a file, or a shipped name, describes.

    Raises:
        ConfigError: it describes neither.
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
        try:
            return read_yaml(SearchSpace, path)
        except ConfigError as error:
            if "reference" in content:
                raise
            raise ConfigError(
                f"{error}\n{path.name}: a file with lists of options is a search space; an architecture has "
                "one value for each key"
            ) from None
    return read_yaml(Architecture, path)


def _offers_choices(content: Mapping[str, Any]) -> bool:
    """True if a file looks like a search space rather than an architecture.

    Decided by a few telling keys and not by reading it as a space, so that a space with a mistake in it is
    reported as a wrong space, not as a wrong architecture.
    """
    stages = content.get("stages")
    rows = [row for row in stages if isinstance(row, dict)] if isinstance(stages, list) else []
    return bool({"reference", "limits"} & content.keys()) or any(
        isinstance(value, list) for row in rows for value in row.values()
    )

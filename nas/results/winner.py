"""Which trial a search chose as its winner, as its best.yaml says."""

from pathlib import Path

from search_spaces.networks.architecture import Architecture
from search_spaces.settings.yaml_files import ConfigError, read_yaml


def winner_id(run: Path) -> int | None:
    """The trial that best.yaml names, which may have been chosen by more than its reward; None if unknown."""
    try:
        found = (read_yaml(Architecture, run / "best.yaml").provenance or {}).get("trial_id")
    except (ConfigError, OSError):
        return None
    return found if isinstance(found, int) else None

"""The winner of a run directory, by its rows and by what the search wrote into best.yaml."""

from collections.abc import Iterable
from pathlib import Path

from analysis.winner import Winner, winner
from search_spaces.networks.architecture import Architecture
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.yaml_files import read_yaml
from trials.log.file_names import BEST_FILE
from trials.log.row_types import TrialRow


def run_winner(run: Path, rows: Iterable[TrialRow]) -> Winner | None:
    """The trial of a run that wins; None before the first completed one."""
    return winner(rows, recommended=recorded_best(run))


def recorded_best(run: Path) -> int | None:
    """The trial that best.yaml names, which the strategy may have recommended; None if it names none."""
    try:
        found = (read_yaml(Architecture, run / BEST_FILE).provenance or {}).get("trial_id")
    except (ConfigError, OSError):
        return None
    return found if isinstance(found, int) else None

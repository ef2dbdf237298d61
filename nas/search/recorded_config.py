"""The configuration that a run was made with."""

from pathlib import Path

from nas.search.config import SearchConfig
from search_spaces.settings.yaml_files import ConfigError, read_yaml
from trials.log.store import refuse_other_than_run


def recorded_config(run: Path) -> SearchConfig:
    """The configuration that a run was made with.

    Raises:
        ConfigError: the folder is no run, or its search.yaml does not read.
    """
    refuse_other_than_run(run)
    try:
        return read_yaml(SearchConfig, run / "search.yaml", recorded=True)
    except ConfigError as error:
        raise ConfigError(f"{run}: its search.yaml does not read\n{error}") from None

"""The configuration that a run was made with."""

from pathlib import Path

from nas.search.config import SearchConfig
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.yaml_files import from_mapping, parse_yaml, read_yaml
from trials.log.file_names import SEARCH_FILE
from trials.log.identity import Identity
from trials.log.run_folder import refuse_other_than_run
from trials.log.run_reader import verified_identity


def recorded_config(run: Path) -> SearchConfig:
    """The configuration that a run was made with; its files are those that its log has recorded.

    Raises:
        ConfigError: the folder is no run, its search.yaml does not read, or a file has changed.
    """
    refuse_other_than_run(run)
    return config_of(run, verified_identity(run))


def config_of(run: Path, identity: Identity | None) -> SearchConfig:
    """The configuration that a run's log has recorded; of an earlier version's run, that of its search.yaml.

    Raises:
        ConfigError: it does not read.
    """
    file = run / SEARCH_FILE
    try:
        if identity is None:
            return read_yaml(SearchConfig, file, recorded=True)
        mapping = parse_yaml(identity.search, name=str(file))
        return from_mapping(SearchConfig, mapping, name=str(file), recorded=True)
    except ConfigError as error:
        raise ConfigError(f"{run}: its {SEARCH_FILE} does not read\n{error}") from None

"""Networks of a comparison, by words: files, published names, runs and their trials."""

import re
from collections.abc import Sequence
from pathlib import Path
from shlex import quote

from nas.comparing.config import ComparedNetwork
from nas.interchange.export_formats import read_source
from search_spaces.choices.described import read_described
from search_spaces.choices.space import SearchSpace
from search_spaces.networks.architecture import Architecture
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.yaml_files import from_mapping, parse_yaml, read_yaml
from trials.log.run_folder import is_run
from trials.log.run_places import is_in_store, local_file

OF_TRIAL = re.compile(r"(.+):(\d+)")  # as in runs/first:12


def read_networks(sources: Sequence[str]) -> dict[str, ComparedNetwork]:
    """The networks that these words name, with their origin, by the names under which they are compared.

    Args:
        sources: each the file of an architecture, a published name, a run (its winner), a run and one of its
            trials (RUN:TRIAL), a training or weights (their architecture).

    Raises:
        ConfigError: one is none of these, or two would have the same name.
    """
    networks: dict[str, ComparedNetwork] = {}
    for source in sources:
        name, architecture = _read(source)
        if name in networks:
            raise ConfigError(
                f"{source}: {networks[name].source} is called {name}, too; name each network once, or give "
                f"one another name:  {_export(source, name)}"
            )
        networks[name] = ComparedNetwork(
            source=source, architecture_id=architecture.architecture_id, architecture=architecture
        )
    return networks


def _read(source: str) -> tuple[str, Architecture]:
    place, trial = _place_and_trial(source)
    local = local_file(place)
    is_name = not Path(local).exists() and not is_in_store(local)
    if is_name and not isinstance(read_described(local), SearchSpace):
        return _name(place, None), read_yaml(Architecture, local)
    found = read_source(local, trial=trial)  # refuses spaces
    architecture = from_mapping(Architecture, parse_yaml(found.yaml, name=source), name=source)
    return _name(place, trial), architecture


def _place_and_trial(source: str) -> tuple[str, int | None]:
    """The run and the trial of RUN:TRIAL; of anything else the word as it is, and None."""
    if (match := OF_TRIAL.fullmatch(source)) is not None and is_run(Path(local_file(match[1]))):
        return match[1], int(match[2])
    return source, None


def _export(source: str, name: str) -> str:
    """Command that writes the network to a file of another name."""
    place, trial = _place_and_trial(source)
    of_trial = "" if trial is None else f" --trial {trial}"
    return f"nas export {quote(place)}{of_trial} -o {quote(f'{name}-2.yaml')}"


def _name(place: str, trial: int | None) -> str:
    """The file's or the folder's name; of a training's weights the training's, of a trial with its number."""
    path = Path(place)
    if path.suffix == ".safetensors" and path.parent.name == "weights" and path.parent.parent.name:
        path = path.parent.parent
    name = path.stem if path.suffix in (".yaml", ".yml", ".safetensors") else path.resolve().name
    return name if trial is None else f"{name}-{trial}"

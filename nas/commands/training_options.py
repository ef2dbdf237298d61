"""The configuration of a training, or of a comparison of trainings, from the options of its command."""

from collections.abc import Mapping, Sequence
from shlex import quote
from typing import Any, TypeVar

from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.parsing import Location
from search_spaces.settings.yaml_files import from_mapping

T = TypeVar("T")


def images_given(data: str | None) -> str:
    """The images that --data names.

    Raises:
        ConfigError: the option is missing.
    """
    if data is None:
        raise ConfigError("--data is missing: the images to train on (a folder, a Parquet file, a URL)")
    return data


def config_of_options(
    cls: type[T],
    options: Mapping[str, Any],
    *,
    command: str,
    networks: tuple[str, Any, str],
    overrides: Sequence[str],
) -> T:
    """A configuration of `cls`; what is wrong is said of the option that gave it.

    Args:
        options: values by the names of options; None: not given, the default holds.
        networks: the key of what is trained, its value, and the words that were typed for it.

    Raises:
        ConfigError: --data is missing, or something is wrong.
    """
    data = images_given(options["data"])
    key, value, words = networks
    given = {name: option for name, option in options.items() if option is not None}
    typed: dict[Location, str] = {(name,): f"--{name} {quote(str(each))}" for name, each in given.items()}
    typed |= {("data", "source"): typed[("data",)], (key,): words}
    mapping = {key: value, **given, "data": {"source": data}}
    return from_mapping(cls, mapping, name=command, overrides=overrides, typed=typed)

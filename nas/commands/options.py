"""Arguments and options that several commands have."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from trials.training.weights_file import WeightsFile  # loads torch

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Weights = Annotated[Path, typer.Argument(help="A weights file of nas train (.safetensors).")]
Force = Annotated[bool, typer.Option("--force", help="Replace a file that exists.")]


class Project(StrEnum):
    """Project whose descriptions of networks are read and written."""

    TIMM = "timm"
    AUTOML = "automl"
    TORCHVISION = "torchvision"


def evaluation_resolution(weights: "WeightsFile", given: int | None) -> int:
    """The given resolution (pixels), by default the one that the weights were trained at.

    Raises:
        ConfigError: it is too small for the network.
    """
    from search_spaces.networks.network import check_resolution
    from search_spaces.settings.yaml_files import ConfigError

    size = given or weights.resolution
    try:
        check_resolution(weights.architecture, size)
    except ValueError as error:
        raise ConfigError(f"--resolution: {error}") from error
    return size

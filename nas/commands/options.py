"""Arguments and options that several commands have."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    pass  # loads torch

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Weights = Annotated[Path, typer.Argument(help="A weights file of nas train (.safetensors).")]
Force = Annotated[bool, typer.Option("--force", help="Replace a file that exists.")]


class Project(StrEnum):
    """Project whose descriptions of networks are read and written."""

    TIMM = "timm"
    AUTOML = "automl"
    TORCHVISION = "torchvision"

"""Arguments and options that several commands have."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Weights = Annotated[Path, typer.Argument(help="A weights file of nas train (.safetensors).")]
Force = Annotated[bool, typer.Option("--force", help="Replace a file that exists.")]


class Project(StrEnum):
    """Project whose descriptions of networks are read and written."""

    TIMM = "timm"
    AUTOML = "automl"
    TORCHVISION = "torchvision"

"""Arguments and options that several commands have."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from search_spaces.networks.bounds import (
    LARGEST_BATCH,
    LARGEST_MAX_PIXELS,
    LARGEST_RESOLUTION,
    SMALLEST_MAX_PIXELS,
    SMALLEST_RESOLUTION,
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]


def _weights(place: Path) -> Path:
    """The best weights in a folder of nas train or nas pull; any other place as it is."""
    best = place / "weights" / "best.safetensors"
    return best if best.is_file() else place


Weights = Annotated[
    Path,
    typer.Argument(
        callback=_weights, help="A weights file (.safetensors); a folder of nas train or nas pull."
    ),
]
Resolution = Annotated[
    int | None,
    typer.Option(min=SMALLEST_RESOLUTION, max=LARGEST_RESOLUTION, help="Pixels (default: as trained)."),
]
MaxPixels = Annotated[
    int | None,
    typer.Option(
        min=SMALLEST_MAX_PIXELS,
        max=LARGEST_MAX_PIXELS,
        help="Pixels of a picture up to which it is read (default: 64,000,000).",
    ),
]
BatchSize = Annotated[
    int | None,
    typer.Option(min=2, max=LARGEST_BATCH, help="Images of a step (default: 32; on a GPU 256)."),
]
TrainedImages = Annotated[
    str | None, typer.Option("--data", help="Images: a folder, Parquet files, a URL, digits.")
]
Patience = Annotated[
    int | None,
    typer.Option(min=1, help="End after so many evaluations at the last size without a better accuracy."),
]
SetTraining = Annotated[
    list[str] | None, typer.Option("--set", help="key.path=value, as in recipe.epochs=30.")
]
Run = Annotated[Path, typer.Argument(help="A run directory.")]
RayAddress = Annotated[str | None, typer.Option(help="A Ray cluster to join, e.g. auto.")]
Log = Annotated[list[str] | None, typer.Option(help="tensorboard, mlflow or wandb, too (may be repeated).")]
License = Annotated[
    str | None,
    typer.Option("--license", help="Licence of the weights by the Hub's name: apache-2.0, mit, cc-by-4.0, …"),
]
LicenseLink = Annotated[str | None, typer.Option(help="URL of the text of another licence (other).")]
FromRun = Annotated[
    Path | None, typer.Option(help="For the card: the run that found it (default: looked for by its name).")
]
Onnx = Annotated[bool, typer.Option("--onnx", help="With the card: an ONNX file, too.")]
Force = Annotated[bool, typer.Option("--force", help="Replace a file that exists.")]


def _trust(packages: list[str] | None) -> list[str] | None:
    from search_spaces.networks.trusted import trust

    trust(packages or ())  # of this command alone, also where another one came before in this process
    return packages


Trust = Annotated[
    list[str] | None,
    typer.Option(
        "--trust",
        callback=_trust,
        help="A package of yours whose ops (package.module:Class) may be imported, and so run.",
    ),
]


class Executor(StrEnum):
    """Way of running trials."""

    RAY = "ray"
    RAY_TUNE = "ray_tune"
    IN_PROCESS = "in_process"


class Project(StrEnum):
    """Project whose descriptions of networks are read and written."""

    TIMM = "timm"
    AUTOML = "automl"
    TORCHVISION = "torchvision"

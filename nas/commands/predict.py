"""The command nas predict."""

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from nas.commands.options import Force, MaxPixels, Resolution, Weights
from nas.screens.bars import counting
from nas.screens.terminal import terminal


def predict(
    weights: Weights,
    folder: Annotated[Path, typer.Argument(help="A folder of pictures.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="A .parquet or .csv file.")],
    resolution: Resolution = None,
    max_pixels: MaxPixels = None,
    force: Force = False,
) -> None:
    """Say what the pictures of a folder are."""
    from nas.training.evaluation import evaluation_resolution
    from nas.training.prediction import predict_folder, refuse_other_than_table, write_predictions
    from search_spaces.settings.output_files import refuse_existing
    from trials.images.decode import TOO_LARGE
    from trials.training.weights_file import load_weights

    refuse_other_than_table(output)
    refuse_existing(output, force=force)
    loaded = load_weights(weights)
    with Progress(console=terminal(stderr=True), transient=True) as bars:
        frame = predict_folder(
            loaded,
            folder,
            resolution=evaluation_resolution(loaded, resolution),
            max_pixels=max_pixels,
            on_progress=counting(bars, "predicting"),
        )
    write_predictions(frame, output)
    unreadable = int(frame.error.notna().sum())
    more = f", {unreadable:,} could not be read (column error)" if unreadable else ""
    told = f"{output}: {len(frame):,} pictures{more}"
    if frame.error.str.contains(TOO_LARGE, regex=False).any():
        told += "; some are too large: --max-pixels raises the limit"
    terminal(stderr=True).print(told, highlight=False, soft_wrap=True)

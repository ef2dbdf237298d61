"""The command nas predict."""

from pathlib import Path
from typing import Annotated

import typer

from nas.commands.options import Force, Json, MaxPixels, Resolution, Trust, Weights
from nas.commands.output import json_text
from nas.screens.bars import bars_of, counting
from nas.screens.terminal import terminal


def predict(
    weights: Weights,
    folder: Annotated[Path, typer.Argument(help="A folder of pictures.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="A .parquet or .csv file.")],
    resolution: Resolution = None,
    max_pixels: MaxPixels = None,
    force: Force = False,
    trust: Trust = None,
    as_json: Json = False,
) -> None:
    """Say what the pictures of a folder are."""
    from analysis.numbers import counted
    from nas.commands.written import PredictedFolder
    from nas.training.evaluation import evaluation_resolution
    from nas.training.prediction import NO_PICTURE, predict_folder, refuse_other_than_table, write_predictions
    from search_spaces.settings.output_files import refuse_existing
    from trials.images.decode import TOO_LARGE
    from trials.training.weights_file import load_weights

    refuse_other_than_table(output)
    refuse_existing(output, force=force)
    loaded = load_weights(weights)
    console = terminal(stderr=True)
    with bars_of(console) as bars:
        frame = predict_folder(
            loaded,
            folder,
            resolution=evaluation_resolution(loaded, resolution),
            max_pixels=max_pixels,
            on_progress=counting(bars, "predicting"),
        )
    write_predictions(frame, output)
    others = frame.error.str.startswith(NO_PICTURE, na=False)
    unreadable = int((frame.error.notna() & ~others).sum())
    pictures = int((~others).sum())
    if as_json:
        figures = PredictedFolder(
            file=str(output), pictures=pictures, unreadable=unreadable, others=int(others.sum())
        )
        print(json_text(figures))
    more = f", {unreadable:,} could not be read" if unreadable else ""
    more += f"; {counted(int(others.sum()), 'file')} of other kinds" if others.any() else ""
    more += " (column error)" if more else ""
    summary = f"{output}: {counted(pictures, 'picture')}{more}"
    if frame.error.str.contains(TOO_LARGE, regex=False).any():
        summary += "; some are too large: --max-pixels raises the limit"
    console.print(summary, soft_wrap=True)

"""The command nas evaluate."""

from pathlib import Path
from typing import Annotated

import typer

from nas.commands.options import Json, MaxPixels, Resolution, Trust, Weights
from nas.commands.output import show
from nas.screens.bars import bars_of, counting
from nas.screens.terminal import print_notes, terminal


def evaluate(
    weights: Weights,
    data: Annotated[str, typer.Option(help="Labelled images: a folder, a Parquet file, a URL, digits.")],
    resolution: Resolution = None,
    max_pixels: MaxPixels = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="A PNG of the confusion matrix.")
    ] = None,
    trust: Trust = None,
    as_json: Json = False,
) -> None:
    """Evaluate trained weights on labelled images, at any size."""
    from nas.screens.evaluation import evaluation_screen
    from nas.training.evaluation import evaluate_images, evaluation_resolution, labelled_images, with_option
    from nas.training.evaluation_pictures import draw_confusion
    from search_spaces.settings.output_files import PNG, refuse_other_kind, writing
    from trials.images.sources import source_words
    from trials.log.run_places import place_of
    from trials.training.weights_file import load_weights

    if output is not None:
        refuse_other_kind(output, beginning=PNG, kind="PNG")
    loaded = load_weights(weights)
    size = evaluation_resolution(loaded, resolution)
    console = terminal(stderr=True)
    images = labelled_images(data, loaded, resolution=size, max_pixels=max_pixels)
    print_notes(console, "data", map(with_option, images.all_notes()))
    with bars_of(console) as bars:
        evaluation = evaluate_images(loaded, images, on_progress=counting(bars, "evaluating"))
    if output is not None:
        with writing(output):
            draw_confusion(evaluation, output, title=f"{place_of(weights)} on {source_words(data)}")
    show(as_json, evaluation.figures, lambda: evaluation_screen(evaluation, source=source_words(data)))

"""The command nas evaluate."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from nas.commands.options import Json, Resolution, Weights
from nas.commands.output import show
from nas.screens.terminal import terminal


def evaluate(
    weights: Weights,
    data: Annotated[str, typer.Option(help="Labelled images: a folder, a Parquet file, a URL, digits.")],
    resolution: Resolution = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="A PNG of the confusion matrix.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Evaluate trained weights on labelled images, at any size."""
    from nas.screens.evaluation import draw_confusion, evaluation_screen
    from nas.training.evaluation import evaluate_images, evaluation_resolution, labelled_images
    from search_spaces.settings.output_files import PNG, refuse_other_kind
    from trials.images.sources import source_words
    from trials.training.weights_file import load_weights

    if output is not None:
        refuse_other_kind(output, beginning=PNG, kind="PNG")
    loaded = load_weights(weights)
    size = evaluation_resolution(loaded, resolution)
    console = terminal(stderr=True)
    images = labelled_images(data, loaded, resolution=size)
    for note in images.all_notes():
        console.print(f"data: {note}", soft_wrap=True)
    with Progress(console=console, transient=True) as bars:
        task = bars.add_task("evaluating", total=None)

        def progress(done: int, total: int) -> None:
            bars.update(task, completed=done, total=total)

        evaluation = evaluate_images(loaded, images, on_progress=progress)
    if output is not None:
        _draw(lambda: draw_confusion(evaluation, output, title=f"{weights} on {source_words(data)}"), output)
    show(as_json, evaluation.figures, lambda: evaluation_screen(evaluation, source=source_words(data)))


def _draw(draw: Callable[[], None], output: Path) -> None:
    from search_spaces.settings.yaml_files import ConfigError

    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        draw()
    except (OSError, ValueError) as error:
        raise ConfigError(f"{output}: cannot be written: {error}") from error

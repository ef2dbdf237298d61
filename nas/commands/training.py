"""The commands after a search: nas train, nas evaluate, nas predict."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress

from nas.commands.options import Json

Weights = Annotated[Path, typer.Argument(help="A weights file of nas train (.safetensors).")]


def train(
    architecture: Annotated[
        str | None, typer.Argument(help="An architecture: a file, or a published name; none: resume --run.")
    ] = None,
    data: Annotated[str | None, typer.Option(help="Images: a folder, Parquet files, a URL, digits.")] = None,
    recipe: Annotated[str, typer.Option(help="A recipe: a file, or a shipped one's name.")] = "cifar10",
    run: Annotated[Path | None, typer.Option(help="The folder; a training that is there is resumed.")] = None,
    test: Annotated[str | None, typer.Option(help="Test images, read once, at the end.")] = None,
    init: Annotated[str | None, typer.Option(help="Weights to begin with; what fits is taken.")] = None,
    patience: Annotated[
        int | None,
        typer.Option(min=1, help="End after so many epochs at the last size without a better accuracy."),
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, max=1000, help="Trainings that differ in their seed.")] = 1,
    devices: Annotated[
        int, typer.Option(min=1, max=4096, help="GPUs, else cores, that share each batch.")
    ] = 1,
    ray_address: Annotated[
        str | None, typer.Option(help="A Ray cluster with the devices; default: this machine.")
    ] = None,
    log: Annotated[
        list[str] | None, typer.Option(help="tensorboard, mlflow or wandb, too (may be repeated).")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="key.path=value, as in recipe.epochs=30.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Train an architecture in full, with progressive learning; started again it resumes."""
    from nas.commands.launch_training import how_it_goes_on, launch_training, training_config
    from nas.screens.training import repeats_table, started_at, training_figures, training_screen
    from search_spaces.settings.yaml_files import ConfigError

    if architecture is None and run is None:
        raise typer.BadParameter("name an architecture, or a training to resume with --run")
    folder = run or Path("train") / f"{Path(architecture or '').stem}-{started_at()}"
    console = Console(stderr=as_json)
    config = training_config(
        architecture, folder=folder, data=data, recipe=recipe, test=test, init=init, patience=patience,
        overrides=set_ or [],
    )  # fmt: skip
    if repeats > 1 and architecture is None:
        raise ConfigError("--repeats needs the architecture again, to know what to repeat")
    try:
        results = launch_training(
            config, folder, repeats=repeats, devices=devices, ray_address=ray_address, log=log or (),
            console=console,
        )  # fmt: skip
    except KeyboardInterrupt:
        again = how_it_goes_on(folder, repeats=repeats, devices=devices, ray_address=ray_address)
        console.print(f"stopped; this goes on:  {again}", markup=False, soft_wrap=True)
        raise
    if as_json:
        figures = [training_figures(result) for result in results]
        print(json.dumps(figures[0] if repeats == 1 else figures, default=str))
        return
    shown = Console(highlight=False)
    shown.print(training_screen(results[0]) if repeats == 1 else repeats_table(results))


def evaluate(
    weights: Weights,
    data: Annotated[str, typer.Option(help="Labelled images: a folder, a Parquet file, a URL, digits.")],
    resolution: Annotated[
        int | None, typer.Option(min=8, max=4096, help="Pixels (default: as trained).")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="A PNG of what is taken for what.")
    ] = None,
    as_json: Json = False,
) -> None:
    """SearchReward trained weights on labelled images, at any size."""
    from nas.screens.evaluation import draw_confusion, evaluation_screen
    from nas.training.evaluation import evaluate_images, labelled_images
    from trials.training.weights_file import load_weights

    loaded = load_weights(weights)
    size = _resolution(loaded, resolution)
    console = Console(stderr=True)
    images = labelled_images(data, loaded, resolution=size)
    with Progress(console=console, transient=True) as bars:
        task = bars.add_task("evaluating", total=None)

        def show(done: int, total: int) -> None:
            bars.update(task, completed=done, total=total)

        evaluation = evaluate_images(loaded, images, on_progress=show)
    if output is not None:
        _draw(lambda: draw_confusion(evaluation, output, title=f"{weights.name} on {data}"), output)
    if as_json:
        print(json.dumps(evaluation.figures(), default=str))
    else:
        Console(highlight=False).print(evaluation_screen(evaluation, source=data))


def predict(
    weights: Weights,
    folder: Annotated[Path, typer.Argument(help="A folder of pictures.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="A .parquet or .csv file.")],
    resolution: Annotated[
        int | None, typer.Option(min=8, max=4096, help="Pixels (default: as trained).")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
) -> None:
    """Say what the pictures of a folder are."""
    from nas.commands.output_files import refuse_existing
    from nas.training.prediction import predict_folder, write_predictions
    from search_spaces.settings.yaml_files import ConfigError
    from trials.training.weights_file import load_weights

    if output.suffix not in (".parquet", ".csv"):
        raise ConfigError(f"{output}: a name that ends in .parquet or .csv is expected")
    refuse_existing(output, force=force)
    loaded = load_weights(weights)
    with Progress(console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("predicting", total=None)

        def show(done: int, total: int) -> None:
            bars.update(task, completed=done, total=total)

        frame = predict_folder(loaded, folder, resolution=_resolution(loaded, resolution), on_progress=show)
    write_predictions(frame, output)
    unreadable = int(frame.error.notna().sum())
    more = f", {unreadable:,} could not be read (column error)" if unreadable else ""
    Console(stderr=True).print(f"{output}: {len(frame):,} pictures{more}", highlight=False, soft_wrap=True)


def _resolution(weights: Any, given: int | None) -> int:
    from search_spaces.networks.network import check_resolution
    from search_spaces.settings.yaml_files import ConfigError

    size = given or int(weights.facts["resolution"])
    try:
        check_resolution(weights.architecture, size)
    except ValueError as error:
        raise ConfigError(f"--resolution: {error}") from error
    return size


def _draw(draw: Any, output: Path) -> None:
    from search_spaces.settings.yaml_files import ConfigError

    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        draw()
    except (OSError, ValueError) as error:
        raise ConfigError(f"{output}: cannot be written: {error}") from error

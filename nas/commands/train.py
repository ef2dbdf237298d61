"""The command nas train."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from nas.commands.options import Json, Log, Patience, SetTraining, TrainedImages, Trust
from nas.commands.output import json_text
from nas.screens.terminal import print_notes, say_start, terminal
from nas.training.suited_recipe import DEFAULT_RECIPE


def train(
    architecture: Annotated[
        str | None, typer.Argument(help="An architecture: a file, or a published name; none: resume --run.")
    ] = None,
    data: TrainedImages = None,
    recipe: Annotated[str, typer.Option(help="A recipe: a file, or a shipped one's name.")] = DEFAULT_RECIPE,
    run: Annotated[Path | None, typer.Option(help="The folder; a training that is there is resumed.")] = None,
    test: Annotated[str | None, typer.Option(help="Test images, read once, at the end.")] = None,
    init: Annotated[str | None, typer.Option(help="Weights to begin with, also another network's.")] = None,
    patience: Patience = None,
    repeats: Annotated[int, typer.Option(min=1, max=1000, help="Trainings that differ in their seed.")] = 1,
    devices: Annotated[
        int, typer.Option(min=1, max=4096, help="GPUs, else cores, that share each batch.")
    ] = 1,
    ray_address: Annotated[
        str | None, typer.Option(help="A Ray cluster with the devices; default: this machine.")
    ] = None,
    log: Log = None,
    set_: SetTraining = None,
    shared: Annotated[
        bool, typer.Option("--shared", help="Let others read a new training; else only you may.")
    ] = False,
    trust: Trust = None,
    as_json: Json = False,
) -> None:
    """Train an architecture in full, with progressive learning; started again it resumes."""
    if architecture is None and run is None:
        raise typer.BadParameter("name an architecture, or a training to resume with --run")
    place = run or Path("train") / f"{Path(architecture or '').stem}-{datetime.now():%Y%m%d-%H%M%S}"
    console = terminal(stderr=as_json)
    begun = f"what was begun in {place}"
    say_start(console, f"{architecture} by recipe {recipe}, in {place}" if architecture else begun)
    from nas.commands.launch_training import how_it_goes_on, launch_training, training_config
    from nas.screens.training import repeats_table, training_screen
    from nas.training.repeats import typed_words
    from nas.training.result import training_figures
    from nas.training.termination import TerminatedError, signals_interrupt
    from search_spaces.settings.config_error import ConfigError
    from trials.log.run_places import local_file, run_folder

    folder = run_folder(place)
    words = typed_words(
        architecture or "", data=data, recipe=recipe, test=test, init=init, patience=patience,
        repeats=repeats, devices=devices if devices > 1 else None, ray_address=ray_address, log=log,
        set_=set_, shared=shared,
    )  # fmt: skip
    architecture = None if architecture is None else local_file(architecture)
    config = training_config(
        architecture, folder=folder, data=data, recipe=recipe, test=test, init=init, patience=patience,
        overrides=set_ or [], say=lambda note: print_notes(console, "recipe", [note]),
    )  # fmt: skip
    if repeats > 1 and architecture is None:
        raise ConfigError("--repeats needs the architecture again, to know what to repeat")
    try:
        with signals_interrupt():
            results = launch_training(
                config, folder, repeats=repeats, words=words, devices=devices, ray_address=ray_address,
                log=log or (), shared=shared, console=console,
            )  # fmt: skip
    except KeyboardInterrupt as error:
        again = how_it_goes_on(folder, repeats=repeats, devices=devices, ray_address=ray_address)
        console.print(f"stopped; this goes on:  {again}", soft_wrap=True)
        if isinstance(error, TerminatedError):
            raise typer.Exit(error.exit_code) from None
        raise
    if as_json:
        figures = [training_figures(result) for result in results]
        print(json_text(figures[0] if repeats == 1 else figures))
        return
    shown = terminal()
    shown.print(training_screen(results[0]) if repeats == 1 else repeats_table(results), crop=False)

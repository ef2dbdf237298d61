"""Launch of a full training from the command line's words, or of several that differ in their seed."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from shlex import quote

from rich.console import Console

from nas.advising.training_steps import training_goes_on
from nas.commands.launch import compile_kernels, packed
from nas.commands.training_options import config_of_options
from nas.events import GroupLost
from nas.screens.terminal import print_notes
from nas.screens.training import TrainingView
from nas.search.loggers import Loggers
from nas.training.config import FILE, TrainingConfig, as_begun, read_training
from nas.training.failure import failures_explained
from nas.training.picture import draw_training
from nas.training.repeats import folders_of_repeats, read_repeats, recorded_repeats
from nas.training.result import TrainingResult
from nas.training.start import check_folder
from nas.training.suited_recipe import DEFAULT_RECIPE
from nas.training.train import train_fully
from nas.training.training_events import TrainingEvent
from nas.training.weights_size import with_size_of_weights
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.setting_errors import refused_as
from search_spaces.settings.yaml_files import to_mapping
from trials.log.durable_files import SHARED
from trials.log.run_places import files_of, is_in_store, place_of

PICTURE = "training.png"


def training_config(
    architecture: str | None,
    *,
    folder: Path,
    data: str | None,
    recipe: str,
    test: str | None,
    init: str | None,
    patience: int | None,
    overrides: Sequence[str],
    say: Callable[[str], object] = lambda note: None,
) -> TrainingConfig:
    """The configuration of a new training, or the recorded one of a training that is resumed.

    Raises:
        ConfigError: something is missing or wrong.
    """
    if architecture is None:
        if (begun := read_repeats(folder)) is not None or folders_of_repeats(folder):
            command = f":  {begun.command(folder)}" if begun is not None else ""
            raise ConfigError(
                f"{place_of(folder)}: repeats of a training lie here; they go on with the command that began "
                f"them, its architecture and --repeats in it, and --run {place_of(folder)}{command}"
            )
        if not (folder / FILE).is_file():
            raise ConfigError(
                f"{place_of(folder)}: no training to resume here; name an architecture to begin one:  "
                "nas train winner.yaml --data IMAGES"
            )
        given = {"--data": data, "--test": test, "--init": init, "--patience": patience}
        given["--recipe"] = recipe if recipe != DEFAULT_RECIPE else None
        if names := " and ".join(option for option, value in given.items() if value is not None):
            raise ConfigError(
                f"{names}: --run alone goes on with what was begun in {place_of(folder)}; leave {names} out, "
                "or name the architecture again: then --data and --test may say where the same images lie now"
            )
        return read_training(folder, overrides=overrides)
    options = {"data": data, "recipe": recipe, "test": test, "init": init, "patience": patience}
    named = ("architecture", architecture, f"nas train {quote(architecture)}")
    config = config_of_options(
        TrainingConfig, options, command="nas train", networks=named, overrides=overrides
    )
    if config.recipe.initial_weights != "none" and init is None:
        say(f"{recipe} is for given weights, and there is no --init: the training begins from nothing")
    return with_size_of_weights(config, folder, overrides=overrides, say=say)


def launch_training(
    config: TrainingConfig,
    folder: Path,
    *,
    repeats: int,
    words: Sequence[str] = (),
    devices: int = 1,
    ray_address: str | None = None,
    log: Sequence[str] = (),
    shared: bool = False,
    console: Console,
) -> list[TrainingResult]:
    """Trains `repeats` times with seeds of their own, each in a folder of its own, shown on the console.

    Args:
        words: of the command line, that begin the same repeats again (`typed_words`).

    Raises:
        ConfigError: something is not right with the images, the folder or the initial weights.
        TrainingFailedError, LogNotWrittenError: it diverged, the memory is full, the disk is full.
    """
    if ray_address is not None and is_in_store(place_of(folder)):
        raise ConfigError(
            f"--ray-address {ray_address}: processes of a training on a cluster meet in a folder that all "
            f"hosts share, and {place_of(folder)} is none; take a shared folder for --run, or the devices of "
            "one machine (--devices)"
        )
    folders = [folder if repeats == 1 else folder / f"repeat-{i}" for i in range(repeats)]
    config = as_begun(config, folders[0])
    for i, own in enumerate(folders):
        check_folder(replace(config, seed=config.seed + i), own)  # images may take minutes
    print_notes(console, "recipe", config.recipe.notes())
    if ray_address is None:
        compile_kernels(console)
    with refused_as("--data"):
        packed(config.data, config.recipe, console)
    if shared:
        files_of(folder).make_folder(folder, SHARED)
    goes_on = partial(how_it_goes_on, folder, repeats=repeats, devices=devices, ray_address=ray_address)
    with recorded_repeats(folder, repeats=repeats, words=words) if repeats > 1 else nullcontext():
        return [
            train_on_console(
                replace(config, seed=config.seed + i), own,
                devices=devices, ray_address=ray_address, log=log, how_it_goes_on=goes_on, console=console,
            )
            for i, own in enumerate(folders)
        ]  # fmt: skip


def train_on_console(
    config: TrainingConfig,
    folder: Path,
    *,
    devices: int = 1,
    ray_address: str | None = None,
    log: Sequence[str] = (),
    how_it_goes_on: Callable[[], str],
    console: Console,
) -> TrainingResult:
    """Trains one network, or goes on with it, shown on the console, and draws its picture.

    Args:
        how_it_goes_on: gives the command that goes on with it, for messages.

    Raises:
        ConfigError, TrainingFailedError, LogNotWrittenError: as `launch_training`.
    """
    with failures_explained(config.recipe, folder, how_it_goes_on=how_it_goes_on):
        result = _shown(config, folder, devices=devices, address=ray_address, log=log, console=console)
        title = f"{folder.name}: {result.objective_value:.4f} on minival"
        title += f" after {result.metrics[-1].epoch} epochs"
        draw_training(result.metrics, folder / PICTURE, title=title, objective=result.objective)
    return result


def how_it_goes_on(folder: Path, *, repeats: int, devices: int, ray_address: str | None) -> str:
    """Command that goes on with a training that was stopped, on the same devices."""
    if repeats > 1 or not (folder / FILE).is_file():  # nothing in this folder itself says what is trained
        return f"the same command with --run {quote(place_of(folder))}"
    several = f" --devices {devices}" if devices > 1 else ""
    cluster = f" --ray-address {ray_address}" if ray_address is not None else ""
    return f"{training_goes_on(place_of(folder))}{several}{cluster}"


def _shown(
    config: TrainingConfig,
    folder: Path,
    *,
    devices: int,
    address: str | None,
    log: Sequence[str],
    console: Console,
) -> TrainingResult:
    say = partial(console.print, soft_wrap=True)
    with Loggers(log, folder, to_mapping(config), say=say) as loggers, TrainingView(console) as view:

        def show(event: TrainingEvent | GroupLost) -> None:
            view.show(event)
            if not isinstance(event, GroupLost):
                loggers.show(event)

        return _train(config, folder, devices=devices, address=address, on_event=show)


def _train(
    config: TrainingConfig,
    folder: Path,
    *,
    devices: int,
    address: str | None,
    on_event: Callable[[TrainingEvent | GroupLost], object],
) -> TrainingResult:
    if devices == 1 and address is None:
        return train_fully(config, folder, on_event=on_event)
    from nas.training.ray_training import train_on_devices  # one device needs no Ray

    return train_on_devices(config, folder, devices=devices, address=address, on_event=on_event)

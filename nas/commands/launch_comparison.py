"""Launch of a comparison from the command line's words."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from shlex import quote

from rich.console import Console

from nas.advising.comparison_steps import comparison_goes_on
from nas.commands.launch import compile_kernels, packed
from nas.commands.launch_training import train_on_console
from nas.commands.training_options import config_of_options, images_given
from nas.comparing.compare import check_comparison_folder, compare, is_complete
from nas.comparing.config import ComparisonConfig, continued, is_comparison, read_plan
from nas.comparing.figures import ComparisonFigures, comparison_figures
from nas.comparing.networks import read_networks
from nas.screens.comparison import ComparisonView
from nas.screens.terminal import print_notes
from nas.training.config import TrainingConfig
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.setting_errors import refused_as
from search_spaces.settings.yaml_files import to_mapping
from trials.log.disk_wait import FULL, LogNotWrittenError


def comparison_config(
    sources: Sequence[str],
    *,
    folder: Path,
    data: str | None,
    recipe: str,
    test: str | None,
    patience: int | None,
    equal: str | None,
    repeats: int | None,
    overrides: Sequence[str],
    say: Callable[[str], object] = lambda note: None,
) -> ComparisonConfig:
    """The configuration of a new comparison, or of one that goes on with more networks or repeats.

    Args:
        sources: words that name the networks (`read_networks`).
        repeats: None: as many as there are, of a new comparison the default.

    Raises:
        ConfigError: something is missing or wrong.
    """
    check_comparison_folder(folder)
    images_given(data)
    before = read_plan(folder) if is_comparison(folder) else None
    networks = read_networks(sources)
    options = {
        "data": data,
        "recipe": recipe,
        "test": test,
        "patience": patience,
        "equal": equal,
        "repeats": repeats or (before.config.repeats if before is not None else None),
    }
    named = ("networks", to_mapping(networks), "nas compare")
    config = config_of_options(
        ComparisonConfig, options, command="nas compare", networks=named, overrides=overrides
    )
    if config.recipe.initial_weights != "none":
        say(f"{recipe} is for given weights, and these trainings begin from nothing")
    return config if before is None else continued(config, before, folder)


def begun_comparison(folder: Path, *, repeats: int | None, typed: Sequence[str]) -> ComparisonConfig:
    """The recorded configuration of a comparison, with so many repeats if they are given.

    Args:
        typed: other options that were given, which need the networks again.

    Raises:
        ConfigError: there is none, it has more repeats, or other options were given.
    """
    before = read_plan(folder)
    if typed:
        names = " and ".join(typed)
        raise ConfigError(
            f"{names}: --run alone goes on with what was begun in {folder}; leave {names} out, or name the "
            "networks again: then --data and --test may say where the same images lie now"
        )
    asked = replace(before.config, repeats=repeats or before.config.repeats)
    return continued(asked, before, folder)


def what_goes_on(folder: Path) -> str:
    """Command that goes on with a comparison that was stopped; before it was recorded, the same one."""
    if is_comparison(folder):
        return comparison_goes_on(str(folder))
    return f"the same command with --run {quote(str(folder))}"


def launch_comparison(config: ComparisonConfig, folder: Path, *, console: Console) -> ComparisonFigures:
    """Times and trains the networks, each training shown on the console.

    Raises:
        ConfigError: something is not right with the images, the folder or the networks.
        RunLockedError: another process works on this comparison.
        TrainingFailedError, LogNotWrittenError: the memory is full, the disk is full.
    """
    if not is_complete(config, folder):
        print_notes(console, "recipe", config.recipe.notes())
        compile_kernels(console)
        with refused_as("--data"):
            packed(config.data, config.recipe, console)
    view = ComparisonView(console)

    def train(training: TrainingConfig, own: Path) -> None:
        train_on_console(training, own, how_it_goes_on=lambda: what_goes_on(folder), console=console)

    try:
        return compare(config, folder, train=train, on_event=view.show)
    except OSError as error:  # of its own files: those of trainings are explained there
        if error.errno not in FULL:
            raise
        raise LogNotWrittenError(
            f"{folder}: {error.strerror}. Make room, and this goes on:  {what_goes_on(folder)}"
        ) from error
    finally:
        view.stop()


def comparison_so_far(folder: Path) -> ComparisonFigures:
    """The figures of a comparison that is there.

    Raises:
        ConfigError: it does not read.
    """
    return comparison_figures(read_plan(folder), folder)

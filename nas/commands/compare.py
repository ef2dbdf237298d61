"""The command nas compare."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from nas.commands.options import Json, Patience, SetTraining, TrainedImages, Trust
from nas.commands.output import show
from nas.screens.terminal import print_notes, say_start, terminal
from nas.training.suited_recipe import DEFAULT_RECIPE


class Equal(StrEnum):
    """Quantity that is held equal across the networks of a comparison."""

    EPOCHS = "epochs"
    TIME = "time"


def compare(
    networks: Annotated[
        list[str] | None,
        typer.Argument(
            help="Architectures: files, published names, runs (RUN, RUN:TRIAL). A comparison: shows it."
        ),
    ] = None,
    data: TrainedImages = None,
    recipe: Annotated[
        str | None,
        typer.Option(help=f"A recipe: a file, or a shipped one's name (default: {DEFAULT_RECIPE})."),
    ] = None,
    run: Annotated[Path | None, typer.Option(help="The folder; a comparison that is there goes on.")] = None,
    test: Annotated[str | None, typer.Option(help="Test images, read once by each training.")] = None,
    repeats: Annotated[
        int | None, typer.Option(min=1, max=1000, help="Seeds for each network (default: 3).")
    ] = None,
    equal: Annotated[
        Equal | None,
        typer.Option(help="Each has the recipe's epochs (default), or the first one's training time."),
    ] = None,
    patience: Patience = None,
    set_: SetTraining = None,
    trust: Trust = None,
    as_json: Json = False,
) -> None:
    """Train networks alike, in turn, with several seeds each; show which are surely more accurate."""
    named = networks or []
    if not named and run is None:
        raise typer.BadParameter("name networks to compare, or a comparison to go on with by --run")
    console = terminal(stderr=as_json)
    given = {"--data": data, "--recipe": recipe, "--test": test, "--equal": equal, "--patience": patience}
    typed = [option for option, value in {**given, "--set": set_ or None}.items() if value is not None]
    if len(named) == 1 and run is None:
        say_start(console, named[0])
        _show(Path(named[0]), typed=typed, repeats=repeats, as_json=as_json)
        return
    place = run or Path("compare") / f"{Path(named[0]).stem}-{datetime.now():%Y%m%d-%H%M%S}"
    begun = f"what was begun in {place}"
    say_start(
        console, f"{len(named)} networks by recipe {recipe or DEFAULT_RECIPE}, in {place}" if named else begun
    )
    from nas.commands.launch_comparison import (
        begun_comparison,
        comparison_config,
        launch_comparison,
        what_goes_on,
    )
    from nas.screens.comparison import comparison_screen
    from nas.training.termination import TerminatedError, signals_interrupt

    if named:
        config = comparison_config(
            named, folder=place, data=data, recipe=recipe or DEFAULT_RECIPE, test=test, patience=patience,
            equal=equal.value if equal is not None else None, repeats=repeats, overrides=set_ or [],
            say=lambda note: print_notes(console, "recipe", [note]),
        )  # fmt: skip
    else:
        config = begun_comparison(place, repeats=repeats, typed=typed)
    try:
        with signals_interrupt():
            figures = launch_comparison(config, place, console=console)
    except KeyboardInterrupt as error:
        console.print(f"stopped; this goes on:  {what_goes_on(place)}", markup=False, soft_wrap=True)
        if isinstance(error, TerminatedError):
            raise typer.Exit(error.exit_code) from None
        raise
    if not as_json:
        console.print()
    show(as_json, lambda: figures, lambda: comparison_screen(figures))


def _show(folder: Path, *, typed: Sequence[str], repeats: int | None, as_json: bool) -> None:
    """Shows a comparison that is there, also while another process works on it.

    Args:
        typed: options that were given, and `repeats`, which showing does not take.
    """
    from nas.commands.launch_comparison import comparison_so_far
    from nas.comparing.config import is_comparison
    from nas.screens.comparison import comparison_screen
    from search_spaces.settings.config_error import ConfigError
    from trials.log.driver_lock import driver_of

    if not is_comparison(folder):
        raise ConfigError(
            f"{folder}: there is only one network, and no comparison of that name to show; name two networks "
            "or more"
        )
    if typed or repeats is not None:
        names = " and ".join([*typed, *([] if repeats is None else ["--repeats"])])
        more = "" if repeats is None else f" --repeats {repeats}"
        raise ConfigError(
            f"{names}: a comparison that is named without --run is only shown; go on "
            f"with it, or add to it, by  nas compare --run {quote(str(folder))}{more}"
        )
    figures = comparison_so_far(folder)
    show(as_json, lambda: figures, lambda: comparison_screen(figures, driver=driver_of(folder)))

"""The command nas space."""

from pathlib import Path
from typing import Annotated

import typer

from nas.commands.options import Force, Json, Project
from nas.commands.output import json_text
from nas.screens.terminal import say
from search_spaces.choices.own_limits import DEFAULT_LIMITS, NO_LIMITS, read_limits
from search_spaces.networks.bounds import LARGEST_RADIUS, LARGEST_RESOLUTION, SMALLEST_RESOLUTION

DEFAULTS = ", ".join(f"{name}={factor:g}" for name, factor in DEFAULT_LIMITS.items())


def space(
    source: Annotated[
        str, typer.Argument(help="A network: a file, a published name, a run, weights; or as --from says.")
    ],
    from_: Annotated[
        Project | None, typer.Option("--from", help="SOURCE is a file or a name of this project.")
    ] = None,
    radius: Annotated[
        int, typer.Option(min=1, max=LARGEST_RADIUS, help="Steps and layers around the network's own.")
    ] = 1,
    limit: Annotated[
        list[str] | None,
        typer.Option(
            help=f"As a multiple of the network's own (may be repeated; default: {DEFAULTS}), or {NO_LIMITS}."
        ),
    ] = None,
    classes: Annotated[int | None, typer.Option(min=2, help="Classes that parameters count.")] = None,
    resolution: Annotated[
        int | None, typer.Option(min=SMALLEST_RESOLUTION, max=LARGEST_RESOLUTION, help="Pixels, for MACs.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The file; default: standard output.")
    ] = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Write a search space around a network: its stages with other ops, kernels, expansions, layers."""
    from nas.commands.written import WrittenSpace
    from nas.interchange.around import write_space_around
    from trials.log.run_places import local_file

    written = write_space_around(
        local_file(source), from_.value if from_ else None, radius=radius, limits=read_limits(limit or []),
        num_classes=classes, resolution=resolution, output=output, force=force,
    )  # fmt: skip
    if as_json:
        figures = WrittenSpace(
            source=source, file=str(output) if output else None, text=None if output else written.text,
            summary=written.said, search=written.command,
        )  # fmt: skip
        print(json_text(figures))
    elif output is None:
        print(written.text, end="")
    else:
        say(f"{output}: {written.said}    next:  {written.command}")

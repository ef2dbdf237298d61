"""The command nas describe."""

from typing import Annotated

import typer

from nas.commands.options import Json
from nas.commands.output import show


def describe(
    source: Annotated[str, typer.Argument(help="An architecture or space: a file, or a shipped name.")],
    classes: Annotated[
        int | None, typer.Option(min=2, help="Classes that parameters are counted with.")
    ] = None,
    resolution: Annotated[int | None, typer.Option(min=1, max=4096, help="Pixels, for MACs.")] = None,
    as_json: Json = False,
) -> None:
    """Show an architecture's stages, parameters and MACs, or a space's decisions and size."""
    from nas.screens.describe import describe_source

    figures, screen = describe_source(source, num_classes=classes, resolution=resolution)
    show(as_json, lambda: figures, lambda: screen)

"""The command nas import."""

from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from nas.commands.options import Force, Project
from nas.screens.terminal import terminal


def import_(
    source: Annotated[
        str,
        typer.Argument(help="A file as nas export writes, or a name of the project's: tf_efficientnetv2_s."),
    ],
    from_: Annotated[Project, typer.Option("--from", help="Whose description it is.")],
    weights: Annotated[
        Path | None, typer.Option(help="The project's weights for it (.safetensors or .pth), to be loaded.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The file; with --weights .safetensors.")
    ] = None,
    force: Force = False,
) -> None:
    """Read an architecture of timm, google/automl or torchvision, and its weights."""
    from nas.interchange.import_formats import import_architecture, import_weights

    console = terminal(stderr=True, soft_wrap=True)
    if weights is None:
        imported = import_architecture(source, from_.value, output=output, force=force)
        if output is None:
            print(imported.text, end="")
        else:
            console.print(f"{output}: {imported.proof}    next:  nas describe {quote(str(output))}")
        return
    if output is None:
        raise typer.BadParameter("--weights needs -o FILE.safetensors")
    proof = import_weights(source, from_.value, weights=weights, output=output, force=force)
    console.print(f"{output}: {proof}    next:  nas evaluate {quote(str(output))} --data IMAGES")

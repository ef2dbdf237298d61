"""The command nas import."""

from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from nas.commands.options import Force, Json, Project
from nas.commands.output import json_text
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
    as_json: Json = False,
) -> None:
    """Read an architecture of timm, google/automl or torchvision, and its weights."""
    from nas.commands.written import ImportedNetwork
    from nas.interchange.import_formats import import_architecture, import_weights

    console = terminal(stderr=True, soft_wrap=True)
    if weights is None:
        imported = import_architecture(source, from_.value, output=output, force=force)
        proof, text = imported.proof, imported.text if output is None else None
        follows = f"nas describe {quote(str(output))}"
    else:
        if output is None:
            raise typer.BadParameter("--weights needs -o FILE.safetensors")
        proof = import_weights(source, from_.value, weights=weights, output=output, force=force)
        text, follows = None, f"nas evaluate {quote(str(output))} --data IMAGES"
    if as_json:
        file = None if output is None else str(output)
        print(
            json_text(ImportedNetwork(source=source, project=from_.value, file=file, text=text, proof=proof))
        )
    elif text is not None:
        print(text, end="")
    else:
        console.print(f"{output}: {proof}    next:  {follows}")

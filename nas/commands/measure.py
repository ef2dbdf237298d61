"""The command nas measure."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from nas.commands.options import Json
from nas.commands.output import show


class Precision(StrEnum):
    """In which a network computes."""

    FP32 = "fp32"
    BF16 = "bf16"


def measure(
    sources: Annotated[
        list[str] | None, typer.Argument(help="Architectures: files, or published names.")
    ] = None,
    table: Annotated[
        str | None, typer.Option(help="A space, or a search file: measure all of its blocks instead.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The table's file (default: in the cache).")] = None,
    classes: Annotated[int | None, typer.Option(min=2, help="Classes of the networks.")] = None,
    resolution: Annotated[int | None, typer.Option(min=8, max=4096, help="Pixels.")] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=2, max=65_536, help="Images of a step (default: 32; on a GPU 256).")
    ] = None,
    precision: Annotated[
        Precision | None, typer.Option(help="Default: bf16 on a GPU, fp32 on a CPU.")
    ] = None,
    run: Annotated[
        Path | None, typer.Option(help="A run whose step times are measured again, on this device.")
    ] = None,
    top: Annotated[
        int | None, typer.Option(min=1, help="With --run: how many of its best trials (default: 50).")
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure networks side by side here: size, training step, inference, memory; or a space's blocks."""
    if run is not None:
        from nas.screens.retarget import retarget_figures, retarget_on_console, retarget_screen

        if sources or classes or resolution or batch_size or precision or table or out:
            raise typer.BadParameter("--run takes its networks and conditions from the run; leave out others")
        result = retarget_on_console(run, top=top or 50, console=Console(stderr=True))
        show(as_json, lambda: retarget_figures(result), lambda: retarget_screen(result))
        return
    if top is not None:
        raise typer.BadParameter("--top is of --run: how many of its best trials are measured again")
    from nas.commands.measure_request import measure_request

    measure_it, screen = measure_request(sources or [], table=table, out=out)
    figures = measure_it(
        num_classes=classes,
        resolution=resolution,
        batch_size=batch_size,
        precision=precision.value if precision else None,
        console=Console(stderr=True),
    )
    show(as_json, lambda: figures, lambda: screen(figures))

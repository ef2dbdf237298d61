"""The command nas measure."""

import re
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from nas.commands.options import BatchSize, Json, Trust
from nas.commands.output import show
from nas.screens.terminal import terminal
from search_spaces.networks.bounds import LARGEST_RESOLUTION, SMALLEST_RESOLUTION

TOP = 50  # trials of a run that are measured again


class Precision(StrEnum):
    """Precision in which a network computes."""

    FP32 = "fp32"
    TF32 = "tf32"
    BF16 = "bf16"
    FP16 = "fp16"


def measure(
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            help="Files, published names; any network as timm:NAME, torchvision:NAME, or package.module:Net, "
            "a class or function, imported from the current directory first, as by python -m."
        ),
    ] = None,
    table: Annotated[
        str | None, typer.Option(help="A space, or a search file: measure all of its blocks instead.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The table's file (default: in the cache).")] = None,
    classes: Annotated[int | None, typer.Option(min=2, help="Classes of the networks.")] = None,
    resolution: Annotated[
        int | None, typer.Option(min=SMALLEST_RESOLUTION, max=LARGEST_RESOLUTION, help="Pixels.")
    ] = None,
    input_: Annotated[
        str | None,
        typer.Option("--input", help="Shape of an image, as 3x224x224: another way of --resolution."),
    ] = None,
    batch_size: BatchSize = None,
    precision: Annotated[Precision | None, typer.Option(help="Default: the fastest here.")] = None,
    run: Annotated[
        Path | None, typer.Option(help="A run whose step times are measured again, on this device.")
    ] = None,
    top: Annotated[
        int | None, typer.Option(min=1, help=f"With --run: how many of its best trials (default: {TOP}).")
    ] = None,
    trust: Trust = None,
    as_json: Json = False,
) -> None:
    """Measure networks side by side here: size, training step, inference, memory; or a space's blocks."""
    from nas.commands.launch import compile_kernels

    console = terminal(stderr=True)
    if run is not None:
        from nas.measuring.retarget import retarget, retargeted_json
        from nas.screens.bars import bars_of, counting
        from nas.screens.retarget import retarget_screen
        from trials.log.run_places import run_folder

        if sources or classes or resolution or input_ or batch_size or precision or table or out:
            raise typer.BadParameter("--run takes its networks and conditions from the run; leave out others")
        compile_kernels(console)
        with bars_of(console) as bars:
            moved = counting(bars, "measuring step times")
            result = retarget(run_folder(run), top=top or TOP, on_progress=moved)
        show(as_json, lambda: retargeted_json(result), lambda: retarget_screen(result))
        return
    if top is not None:
        raise typer.BadParameter("--top goes with --run RUN: how many of its best trials to measure again")
    _check_request(sources or [], table=table, out=out)
    resolution = _side(input_, resolution)
    if table is not None:
        from nas.measuring.measure_table import measure_table_on_console
        from nas.measuring.table_figures import table_json
        from nas.screens.measure_table import table_screen

        compile_kernels(console)
        measured_table = measure_table_on_console(
            table, num_classes=classes, resolution=resolution, batch_size=batch_size,
            precision=precision.value if precision else None, out=out, console=console,
        )  # fmt: skip
        show(as_json, lambda: table_json(measured_table), lambda: table_screen(measured_table))
        return
    from nas.measuring.figures import measured_json
    from nas.measuring.measure import measure_on_console
    from nas.screens.measure import measure_screen

    compile_kernels(console)
    measured = measure_on_console(
        sources or [], num_classes=classes, resolution=resolution, batch_size=batch_size,
        precision=precision.value if precision else None, console=console,
    )  # fmt: skip
    show(as_json, lambda: measured_json(measured), lambda: measure_screen(measured))


def _check_request(sources: Sequence[str], *, table: str | None, out: Path | None) -> None:
    from search_spaces.settings.config_error import ConfigError

    if table is None and out is not None:
        raise ConfigError("--out names the file of a table; it goes with --table SPACE")
    if table is None and not sources:
        raise ConfigError("nothing to measure: name architectures, or a space by --table SPACE")
    if table is not None and sources:
        raise ConfigError(
            f"--table {table} measures a space's blocks, and {sources[0]} is a network; measure them "
            "one after the other"
        )


def _side(shape: str | None, resolution: int | None) -> int | None:
    """The pixels of --input, or those of --resolution."""
    from search_spaces.settings.config_error import ConfigError

    if shape is None:
        return resolution
    sizes = re.fullmatch(r"([0-9]{1,6})x([0-9]{1,6})x([0-9]{1,6})", shape)
    if sizes is None:
        raise ConfigError(f"--input {shape}: expected channels x height x width, as 3x224x224")
    channels, height, width = map(int, sizes.groups())
    if channels != 3 or height != width or not SMALLEST_RESOLUTION <= height <= LARGEST_RESOLUTION:
        raise ConfigError(
            f"--input {shape}: images are square and have 3 channels here, as a recipe's; expected 3xNxN "
            f"with N from {SMALLEST_RESOLUTION} to {LARGEST_RESOLUTION:,}"
        )
    if resolution not in (None, height):
        raise ConfigError(f"--input {shape} and --resolution {resolution}: give one of both")
    return height

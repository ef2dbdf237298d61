"""The command nas scale."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from nas.commands.options import BatchSize, Json, Trust
from nas.commands.output import show
from nas.scaling.factors import PAPER
from nas.screens.terminal import terminal
from search_spaces.networks.bounds import LARGEST_RESOLUTION, SMALLEST_RESOLUTION


class Generation(StrEnum):
    """Generation of EfficientNet, by whose rule channels are rounded."""

    V1 = "v1"
    V2 = "v2"


def scale(
    source: Annotated[str, typer.Argument(help="An architecture: a file, or a published name.")],
    phi: Annotated[
        list[float] | None, typer.Option(help="By the formula; above 0 larger (may be repeated).")
    ] = None,
    alpha: Annotated[float, typer.Option(help="Depth grows by alpha^phi.")] = PAPER.alpha,
    beta: Annotated[float, typer.Option(help="Width grows by beta^phi.")] = PAPER.beta,
    gamma: Annotated[float, typer.Option(help="Resolution grows by gamma^phi.")] = PAPER.gamma,
    depth: Annotated[float | None, typer.Option(help="By factors: on the layers,")] = None,
    width: Annotated[float | None, typer.Option(help="on the channels,")] = None,
    resolution: Annotated[float | None, typer.Option(help="and on the pixels.")] = None,
    like: Annotated[
        list[str] | None,
        typer.Option(help="As e.g. efficientnet-b3 is from B0, or V2-M from V2-S (may be repeated)."),
    ] = None,
    like_from: Annotated[
        str | None,
        typer.Option("--from", help="With --like: the published network that the architecture stands for."),
    ] = None,
    params: Annotated[
        list[float] | None,
        typer.Option(help="The largest with so many parameters at most. One budget may be repeated."),
    ] = None,
    macs: Annotated[list[float] | None, typer.Option(help="With so many MACs at most.")] = None,
    step_time_ratio: Annotated[
        list[float] | None, typer.Option(help="With at most this times the base's step time, measured here.")
    ] = None,
    hours: Annotated[
        list[float] | None, typer.Option(help="With so many hours of training at most, on this device.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="With --hours: of that training.")] = None,
    images: Annotated[int | None, typer.Option(min=1, help="With --hours: in an epoch.")] = None,
    grid: Annotated[
        bool, typer.Option("--grid", help="Every alpha, beta, gamma that doubles the MACs.")
    ] = False,
    rounding: Annotated[
        Generation | None, typer.Option(help="Of channels (default: that of --like, else v2).")
    ] = None,
    v1: Annotated[
        bool, typer.Option("--v1", help="Train at the size of inference, which may exceed 480 px.")
    ] = False,
    late_layers: Annotated[
        bool, typer.Option("--late-layers", help="More layers in late stages, as V2-M and V2-L.")
    ] = False,
    fix_ends: Annotated[bool, typer.Option("--fix-ends", help="Stem and head keep their channels.")] = False,
    classes: Annotated[int | None, typer.Option(min=2, help="Classes that parameters count.")] = None,
    base_resolution: Annotated[
        int | None,
        typer.Option(min=SMALLEST_RESOLUTION, max=LARGEST_RESOLUTION, help="The base's pixels at inference."),
    ] = None,
    measure: Annotated[bool, typer.Option("--measure", help="Measure every member's training step.")] = False,
    batch_size: BatchSize = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="A folder for the YAML files and the picture.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that exist.")] = False,
    trust: Trust = None,
    as_json: Json = False,
) -> None:
    """Scale an architecture: by a formula, as published networks are, or to fit a budget."""
    from nas.scaling.factors import Formula, coefficients_of
    from nas.scaling.family import Request
    from nas.scaling.figures import family_json
    from nas.scaling.files import scale_into
    from nas.scaling.solver import budgets_of
    from nas.screens.scaling import family_screen
    from trials.log.run_places import local_file

    limits = {"params": params, "macs": macs, "step_time_ratio": step_time_ratio, "hours": hours}
    request = Request(
        source=local_file(source),
        formula=Formula(alpha, beta, gamma),
        phis=tuple(phi or ()),
        coefficients=coefficients_of(depth, width, resolution),
        like=tuple(like or ()),
        like_from=like_from,
        budgets=budgets_of(limits, epochs=epochs, images=images),
        grid=grid,
        rounding=rounding.value if rounding else None,
        heuristics="v1" if v1 else "v2",
        fix_ends=fix_ends,
        late_layers=late_layers,
        num_classes=classes,
        resolution=base_resolution,
        measure=measure,
        batch_size=batch_size,
    )
    result, files = scale_into(output, request, force=force, console=terminal(stderr=True))
    show(as_json, lambda: family_json(result, files), lambda: family_screen(result, files))

"""A search space on the screen: its decisions, its size, and its smallest, largest and reference network."""

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from nas.screens.architecture import stage_table
from search_spaces.choices.space import SearchSpace
from search_spaces.choices.uniform import TRIED
from search_spaces.networks.architecture import Architecture
from search_spaces.networks.counting import count
from search_spaces.networks.network import check_resolution
from search_spaces.networks.provenance import DEFAULT_CLASSES, DEFAULT_RESOLUTION
from search_spaces.settings.yaml_files import ConfigError

NETWORKS = ("smallest", "largest", "reference")
SMALL_STRIDE, SMALL_RESOLUTION = 8, 32


def space_figures(
    space: SearchSpace, *, name: str, num_classes: int | None, resolution: int | None
) -> dict[str, Any]:
    """A space's size, decisions and outermost networks; `share_within_limits` is an estimate.

    Raises:
        ConfigError: the resolution is too small, or no architecture is within the limits.
    """
    num_classes = num_classes or DEFAULT_CLASSES
    small = space.reference.total_stride <= SMALL_STRIDE
    resolution = resolution or (SMALL_RESOLUTION if small else DEFAULT_RESOLUTION)
    networks = (space.decode(space.smallest()), space.decode(space.largest()), space.reference)
    try:
        counted = {
            which: _figures(architecture, num_classes=num_classes, resolution=resolution)
            for which, architecture in zip(NETWORKS, networks, strict=True)
        }
        share = space.share_within_limits(num_classes=num_classes, resolution=resolution)
    except ValueError as error:
        raise ConfigError(f"{name}: {error}") from error
    return {
        "name": name,
        "size": space.size,
        "distinct_size": space.num_architectures,
        "num_classes": num_classes,
        "resolution": resolution,
        "decisions": [
            {"stage": decision.stage + 1, "field": decision.field, "options": list(decision.options)}
            for decision in space.decisions
        ],
        "limits": {key: value for key, value in vars(space.limits).items() if value is not None},
        "share_within_limits": share,
        **counted,
    }


def _figures(architecture: Architecture, *, num_classes: int, resolution: int) -> dict[str, Any]:
    check_resolution(architecture, resolution)
    counts = count(architecture, num_classes=num_classes, resolution=resolution)
    return {
        "architecture_id": architecture.architecture_id,
        "layers": sum(stage.layers for stage in architecture.stages),
        "params": counts.params,
        "macs": counts.macs,
    }


def space_screen(space: SearchSpace, figures: dict[str, Any]) -> RenderableType:
    """The size, the stages with their options, and the outermost networks."""
    lines: list[RenderableType] = [
        Text(f"{figures['name']}   {_size(figures)}", style="bold"),
        Text(
            f"{len(space.decisions)} decisions; stem {space.stem_channels} channels, stride "
            f"{space.stem_stride}; head {space.head_channels}; {space.padding} padding"
        ),
        _stages(space),
        Text(_squeeze_excite(space)),
        Text(""),
        _networks(figures),
    ]
    if figures["limits"]:
        limits = ", ".join(f"{name} at most {value:,}" for name, value in figures["limits"].items())
        lines.append(Text(f"limits: {limits}"))
    if space.limits.counted():
        share = figures["share_within_limits"]
        shown = f"about {share:.1%}" if share else f"less than {1 / TRIED:.1%}"
        lines.append(Text(f"        {shown} of the architectures are within those on params and macs"))
    lines += [Text(""), Text("reference network:"), stage_table(space.reference)]
    return Group(*lines)


def _size(figures: dict[str, Any]) -> str:
    choices, distinct = figures["size"], figures["distinct_size"]
    if distinct is None:
        return f"{choices:,} choices, some of which build the same network"
    if distinct == choices:
        return f"{choices:,} architectures"
    return f"{distinct:,} architectures ({choices:,} choices)"


def _stages(space: SearchSpace) -> Table:
    """The options of every stage."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for header in ("stage", "op", "kernel", "stride", "expansion", "channels", "layers"):
        table.add_column(header)
    for i, stage in enumerate(space.stages, start=1):
        fields = (stage.op, stage.kernel_size, (stage.stride,), stage.expansion_ratio, stage.channels)
        table.add_row(str(i), *("|".join(map(str, options)) for options in (*fields, stage.layers)))
    return table


def _squeeze_excite(space: SearchSpace) -> str:
    """One sentence for stages that agree; else one part for each stage."""
    texts = []
    for stage in space.stages:
        if isinstance(stage.se_ratio, dict):
            parts = [f"{stage.se_ratio[op]:g} in {op}" for op in stage.op if stage.se_ratio[op]]
            texts.append(", ".join(parts) or "none")
        else:
            texts.append("|".join(f"{ratio:g}" if ratio else "none" for ratio in stage.se_ratio))
    if len(set(texts)) == 1:
        return f"squeeze-excite: {texts[0]}"
    return "squeeze-excite: " + "; ".join(f"stage {i} {text}" for i, text in enumerate(texts, start=1))


def _networks(figures: dict[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("network")
    macs = f"MACs at {figures['resolution']} px"
    for header in ("layers", f"params ({figures['num_classes']:,} classes)", macs):
        table.add_column(header, justify="right")
    for which in NETWORKS:
        row = figures[which]
        table.add_row(which, str(row["layers"]), f"{row['params']:,}", f"{row['macs']:,}")
    return table

"""A search space on the screen: its decisions, its size, and its smallest, largest and reference network."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from analysis.numbers import percent
from nas.screens.architecture import stage_table
from search_spaces.choices.figures import SpaceFigures
from search_spaces.choices.space import SearchSpace
from search_spaces.choices.uniform import TRIED
from search_spaces.interchange.exportable import Exportable, exportable_words
from search_spaces.networks.ops import op_facts
from search_spaces.networks.stage_fields import ABSENT, SILU
from search_spaces.settings.sentences import one_line


def space_screen(space: SearchSpace, figures: SpaceFigures, exports: Sequence[Exportable]) -> RenderableType:
    """The size, the stages with their options, the outermost networks, and where the winner can go."""
    lines: list[RenderableType] = [
        Text(f"{one_line(figures.name)}   {_size(figures)}", style="bold"),
        Text(
            f"{len(space.decisions)} decisions; stem {space.stem_channels} channels, stride "
            f"{space.stem_stride}; head {space.head_channels}; {space.padding} padding"
            f"{f'; {space.activation}' if space.activation != SILU else ''}"
        ),
        _stages(space),
        Text(_squeeze_excite(space)),
        *_activations(space),
        Text(""),
        _networks(figures),
    ]
    if figures.limits:
        limits = ", ".join(f"{name} at most {value:,}" for name, value in figures.limits.items())
        lines.append(Text(f"limits: {limits}"))
    if space.limits.counted():
        lines.append(Text(f"        {_within_limits(figures)}"))
    lines.append(Text(exportable_words(exports)))
    lines += [Text(""), Text("reference network:"), stage_table(space.reference)]
    return Group(*lines)


def _within_limits(figures: SpaceFigures) -> str:
    """The share within limits on params and macs; where there is none, the sizes at which it was asked."""
    if figures.nothing_fits is not None:
        return (
            f"no architecture is within those on params and macs at {figures.resolution} px with "
            f"{figures.num_classes:,} classes ({figures.nothing_fits}); ask for the size and the classes of "
            "your images with --resolution and --classes"
        )
    share = figures.share_within_limits
    shown = f"about {percent(share, digits=1)}" if share else f"less than {percent(1 / TRIED, digits=1)}"
    return f"{shown} of the architectures are within those on params and macs"


def _size(figures: SpaceFigures) -> str:
    choices, distinct = figures.size, figures.distinct_size
    if distinct is None:
        return f"{choices:,} choices, some of which build the same network"
    if distinct == choices:
        return f"{choices:,} architectures"
    return f"{distinct:,} architectures ({choices:,} choices)"


def _stages(space: SearchSpace) -> Table:
    """The options of every stage."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    starts = any(stage.start_kernel_size != (ABSENT,) for stage in space.stages)
    headers = ("stage", "op", *(["start"] if starts else []), "kernel", "stride", "expansion", "channels")
    for header in (*headers, "layers"):
        table.add_column(header)
    for i, stage in enumerate(space.stages, start=1):
        fields: list[Sequence[object]] = [stage.op, *([stage.start_kernel_size] if starts else [])]
        fields += [stage.kernel_size, (stage.stride,), stage.expansion_ratio, stage.channels, stage.layers]
        table.add_row(str(i), *("|".join(map(str, options)) for options in fields))
    return table


def _squeeze_excite(space: SearchSpace) -> str:
    """One sentence for stages that agree; else one part for each stage."""
    texts = []
    for stage in space.stages:
        if isinstance(stage.se_ratio, dict):
            ratios = {op: stage.se_ratio.get(op, 0.0) for op in stage.op}
            parts = [f"{ratio:g} in {op}" for op, ratio in ratios.items() if ratio]
            texts.append(", ".join(parts) or "none")
        else:
            texts.append("|".join(f"{ratio:g}" if ratio else "none" for ratio in stage.se_ratio))
    return f"squeeze-excite: {_by_stage(texts)}"


def _activations(space: SearchSpace) -> list[Text]:
    """As `_squeeze_excite`; nothing where all have the activation that stands above the table."""
    options = [
        (stage.activation or (SILU,)) if any(op_facts(op).takes_activation for op in stage.op) else ("own",)
        for stage in space.stages
    ]
    if set(options) <= {(space.activation,), ("own",)}:
        return []
    return [Text(f"activation: {_by_stage(['|'.join(names) for names in options])}")]


def _by_stage(texts: Sequence[str]) -> str:
    """The one text of stages that agree; else one for each stage."""
    if len(set(texts)) == 1:
        return texts[0]
    return "; ".join(f"stage {i} {text}" for i, text in enumerate(texts, start=1))


def _networks(figures: SpaceFigures) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("network")
    macs = f"MACs at {figures.resolution} px"
    for header in ("layers", f"params ({figures.num_classes:,} classes)", macs):
        table.add_column(header, justify="right")
    networks = {"smallest": figures.smallest, "largest": figures.largest, "reference": figures.reference}
    for name, network in networks.items():
        table.add_row(name, str(network.layers), f"{network.params:,}", f"{network.macs:,}")
    return table

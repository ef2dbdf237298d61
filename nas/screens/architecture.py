"""An architecture on the screen: its stages as a table, and its totals."""

import statistics
from collections.abc import Mapping, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from analysis.numbers import counted
from search_spaces.networks.architecture import Architecture
from search_spaces.networks.figures import ArchitectureFigures
from search_spaces.networks.ops import activation_words, op_facts
from search_spaces.networks.stage_fields import SILU, kernel_words
from search_spaces.settings.sentences import one_line

TEXT_COLUMNS = ("stage", "op", "activation")


def architecture_screen(architecture: Architecture, figures: ArchitectureFigures) -> RenderableType:
    """The stages with what each costs, and the totals; fits 80 columns up to networks of 10 G parameters."""
    lines: list[RenderableType] = [
        Text(f"{one_line(figures.name)}   {figures.architecture_id}", style="bold"),
        Text(_ends(architecture)),
        _costs_by_stage(architecture, figures),
        Text(_legend(architecture), style="dim"),
        Text(
            f"{figures.params:,} parameters ({figures.num_classes:,} classes)   "
            f"{figures.macs:,} MACs at {figures.resolution} px"
        ),
    ]
    lines += map(Text, _origin(architecture.provenance or {}))
    return Group(*lines)


def _ends(architecture: Architecture) -> str:
    if architecture.kind == "resnet":
        return f"resnet: 7x7 stem of {architecture.stem_channels} channels, stride 4 with the maximum"
    return (
        f"stem {architecture.stem_channels} channels, stride {architecture.stem_stride}; "
        f"head {architecture.head_channels}; {architecture.padding} padding"
        f"{f'; {architecture.activation}' if architecture.activation != SILU else ''}"
    )


def _legend(architecture: Architecture) -> str:
    if any(stage.start_kernel_size for stage in architecture.stages):
        return "k kernel (before the expansion + behind it), s stride, e expansion ratio, side in pixels"
    return "k kernel, s stride, e expansion ratio, side of the feature map in pixels"


def _costs_by_stage(architecture: Architecture, figures: ArchitectureFigures) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    # One activation in all of the network stands above the table.
    shows_activation = any(
        (stage.activation or SILU) != architecture.activation
        for stage in architecture.stages
        if op_facts(stage.op).takes_activation
    )
    headers = (
        "stage",
        "op",
        "k",
        "s",
        "e",
        "channels",
        "layers",
        "SE",
        *(["activation"] if shows_activation else []),
    )
    for header in (*headers, "side", "params", "MACs"):
        table.add_column(header, justify="left" if header in TEXT_COLUMNS else "right", no_wrap=True)
    for cells, stage in zip(
        stage_cells(architecture, activation=shows_activation), figures.stages, strict=True
    ):
        table.add_row(*cells, str(stage.out_side), f"{stage.params:,}", f"{stage.macs:,}")
    return table


def _origin(provenance: Mapping[str, object]) -> list[str]:
    """Origin of a searched, scaled or imported architecture in a line, and a line on a finalist's trainings.

    A file may hold any provenance.
    """
    texts = {
        "base": "base {}",
        "phi": "phi {:g}",
        "like": "like {}",
        "timm": "timm {}",
        "automl": "automl {}",
        "torchvision": "torchvision {}",
        "run": "run {}",
        "trial_id": "trial {}",
        "accuracy": "accuracy {:.4f}",
        "balanced_accuracy": "balanced accuracy {:.4f}",
        "reward": "reward {:.4f}",
    }
    known = []
    for key, text in texts.items():
        value = provenance.get(key)
        if value is not None:
            known.append(text.format(value) if isinstance(value, (int, float)) else f"{key} {value}")
    lines = [f"from {', '.join(known)}"] if known else []
    repeated = provenance.get("repeated_rewards")
    if isinstance(repeated, list) and repeated and all(isinstance(each, float) for each in repeated):
        lines.append(f"     {_trainings(provenance, repeated)}")
    if isinstance(uncertain := provenance.get("uncertain_step_time"), str):
        lines.append(f"     step time {one_line(uncertain)}")
    return lines


def _trainings(provenance: Mapping[str, object], rewards: Sequence[float]) -> str:
    """Mean, number, length and interval of a finalist's trainings."""
    if len(rewards) == 1:
        text = f"reward {rewards[0]:.4f} of 1 more training with another seed"
    else:
        count = counted(len(rewards), "more training")
        text = f"mean reward {statistics.mean(rewards):.4f} of {count} with other seeds"
    if isinstance(epochs := provenance.get("epochs"), int) and "selected_by" in provenance:
        length = counted(epochs, "epoch")
        text += f", of {length}" if len(rewards) == 1 else f", {length} each"
    interval = provenance.get("reward_interval")
    if isinstance(interval, list) and len(interval) == 2 and all(isinstance(end, float) for end in interval):
        text += f"; 95 %: {interval[0]:.4f} to {interval[1]:.4f}"
    return text


def stage_table(architecture: Architecture) -> Table:
    """The stages as a table, in the paper's column order; activations if one is not SiLU."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    shows_activation = any(stage.activation for stage in architecture.stages)
    headers = ("stage", "op", "kernel", "stride", "expansion", "channels", "layers", "SE")
    for header in (*headers, *(["activation"] if shows_activation else [])):
        table.add_column(header, justify="left" if header in TEXT_COLUMNS else "right")
    for cells in stage_cells(architecture, activation=shows_activation):
        table.add_row(*cells)
    return table


def stage_cells(architecture: Architecture, *, activation: bool) -> list[tuple[str, ...]]:
    """The cells of `stage_table`, a tuple per stage, with or without its activation."""
    return [
        (
            str(i),
            stage.op,
            kernel_words(stage.kernel_size, stage.start_kernel_size),
            str(stage.stride),
            str(stage.expansion_ratio),
            str(stage.channels),
            str(stage.layers),
            f"{stage.se_ratio:g}" if stage.se_ratio else "-",
            *([activation_words(stage.op, stage.activation)] if activation else []),
        )
        for i, stage in enumerate(architecture.stages, start=1)
    ]

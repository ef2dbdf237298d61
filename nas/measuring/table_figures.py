"""Figures of a table of block times: blocks of each stage, stem and head, error of predictions."""

from dataclasses import dataclass, field
from pathlib import Path

from search_spaces.choices.block_cover import StageOption, stage_options
from search_spaces.networks.stage_fields import ABSENT, SILU, Activation
from search_spaces.settings.kinds import LEFT_OUT
from trials.timing.block_fit import Fit
from trials.timing.block_table import TableConditions


@dataclass(frozen=True, kw_only=True)
class BlockFigures:
    """Times of one block in a training step, and in how many networks it was measured."""

    forward_seconds: float
    backward_seconds: float
    measurements: int


@dataclass(frozen=True, kw_only=True)
class MeasuredOption:
    """An option of a stage behind so many channels, without the times of its blocks."""

    op: str
    kernel_size: int
    expansion_ratio: float  # an int where it is whole
    se_ratio: float
    in_channels: int
    channels: int
    side: int  # of the feature map before it, pixels
    activation: Activation = field(default=SILU, metadata={LEFT_OUT: SILU})
    start_kernel_size: int = field(default=ABSENT, metadata={LEFT_OUT: ABSENT})


@dataclass(frozen=True, kw_only=True)
class OptionFigures(MeasuredOption):
    """An option of a stage, with the times of its blocks."""

    first: BlockFigures
    repeated: BlockFigures | None  # None: the stage has one block at most


@dataclass(frozen=True, kw_only=True)
class TableFigures:
    """A table that was measured and fitted. Times are seconds of one training step."""

    file: Path
    conditions: TableConditions
    measured_seconds: float
    reference_seconds: float
    stem_seconds: float
    top_seconds: float  # head, classifier and loss
    update_seconds: float
    update_seconds_per_million_parameters: float
    stages: tuple[tuple[OptionFigures, ...], ...]
    blocks: int
    parted_networks: int  # in which blocks were measured
    whole_networks: int  # with which predictions were corrected and compared
    leave_one_out_error: float  # mean, relative
    leave_one_out_errors: tuple[float, ...]


def table_figures(fit: Fit, *, path: Path, seconds: float) -> TableFigures:
    """The figures of a fitted table; the fit's times are in units of the reference network's step."""
    table, times = fit.table, fit.times
    unit = table.reference_seconds
    errors = tuple(fit.corrections.leave_one_out.tolist())
    return TableFigures(
        file=path,
        conditions=table.conditions,
        measured_seconds=seconds,
        reference_seconds=unit,
        stem_seconds=times.stem * unit,
        top_seconds=times.top * unit,
        update_seconds=times.update[0] * unit,
        update_seconds_per_million_parameters=times.update[1] * unit * 1e6,
        stages=tuple(
            tuple(_option_figures(option, fit) for option in options if option.blocks)
            for options in stage_options(table.space, table.conditions.resolution)
        ),
        blocks=len(times.blocks),
        parted_networks=len(table.parted),
        whole_networks=len(errors),
        leave_one_out_error=fit.error,
        leave_one_out_errors=errors,
    )


def _option_figures(option: StageOption, fit: Fit) -> OptionFigures:
    unit = fit.table.reference_seconds
    blocks = []
    for placed in option.blocks:
        time = fit.times.blocks[placed]
        blocks.append(
            BlockFigures(
                forward_seconds=time.forward * unit,
                backward_seconds=time.backward * unit,
                measurements=time.measurements,
            )
        )
    return OptionFigures(
        op=option.stage.op,
        kernel_size=option.stage.kernel_size,
        expansion_ratio=option.stage.expansion_ratio,
        se_ratio=option.stage.se_ratio,
        in_channels=option.before,
        channels=option.stage.channels,
        side=option.blocks[0].side,
        first=blocks[0],
        repeated=blocks[1] if len(blocks) > 1 else None,
        activation=option.blocks[0].block.activation,
        start_kernel_size=option.stage.start_kernel_size,
    )


# ---------------------------------------------------------------------- as JSON


@dataclass(frozen=True, kw_only=True)
class PrintedOption(MeasuredOption):
    """An option of a stage; times of a repeated block are None where the stage has one block at most."""

    first_forward_seconds: float
    first_backward_seconds: float
    first_measurements: int
    repeated_forward_seconds: float | None
    repeated_backward_seconds: float | None
    repeated_measurements: int | None


@dataclass(frozen=True, kw_only=True)
class PrintedTable:
    """A table of block times, with its conditions on the same level."""

    file: str
    space_id: str
    device_name: str
    precision: str
    batch_size: int
    resolution: int
    num_classes: int
    averages_weights: bool
    drops_branches: bool
    torch: str
    kernels: str
    optimizer: str
    measured_seconds: float
    reference_seconds: float
    stem_seconds: float
    top_seconds: float
    update_seconds: float
    update_seconds_per_million_parameters: float
    stages: tuple[tuple[PrintedOption, ...], ...]
    blocks: int
    parted_networks: int
    whole_networks: int
    leave_one_out_error: float
    leave_one_out_errors: tuple[float, ...]


def table_json(figures: TableFigures) -> PrintedTable:
    """The figures for --json."""
    own = {name: value for name, value in vars(figures).items() if name not in ("file", "conditions")}
    stages = tuple(tuple(map(_printed_option, options)) for options in figures.stages)
    return PrintedTable(**vars(figures.conditions), **own | {"file": str(figures.file), "stages": stages})


def _printed_option(option: OptionFigures) -> PrintedOption:
    first, repeated = option.first, option.repeated
    own = {name: value for name, value in vars(option).items() if name not in ("first", "repeated")}
    return PrintedOption(
        **own,
        first_forward_seconds=first.forward_seconds,
        first_backward_seconds=first.backward_seconds,
        first_measurements=first.measurements,
        repeated_forward_seconds=repeated.forward_seconds if repeated else None,
        repeated_backward_seconds=repeated.backward_seconds if repeated else None,
        repeated_measurements=repeated.measurements if repeated else None,
    )

"""Figures of a search space: its size, its decisions, its outermost networks."""

from dataclasses import dataclass
from typing import Any

from search_spaces.choices.limited_sampling import NothingWithinLimitsError
from search_spaces.choices.space import SearchSpace
from search_spaces.networks.architecture import Architecture
from search_spaces.networks.counting import count
from search_spaces.networks.provenance import DEFAULT_CLASSES, DEFAULT_RESOLUTION
from search_spaces.networks.resolutions import check_resolution
from search_spaces.settings.config_error import ConfigError

SMALL_STRIDE, SMALL_RESOLUTION = 8, 32  # a space of small images, and their pixels


@dataclass(frozen=True, kw_only=True)
class DecisionFigures:
    """A field of a stage, counted from 1, and what it may be."""

    stage: int
    field: str
    options: tuple[Any, ...]


@dataclass(frozen=True, kw_only=True)
class OutermostFigures:
    """The smallest or largest network of a space, or its reference."""

    architecture_id: str
    layers: int
    params: int
    macs: int


@dataclass(frozen=True, kw_only=True)
class SpaceFigures:
    """A space; its networks have so many classes and are counted at the resolution."""

    name: str
    size: int  # choices
    distinct_size: int | None  # different networks; None where counting them does not end
    num_classes: int
    resolution: int
    decisions: tuple[DecisionFigures, ...]
    limits: dict[str, float]  # those that are set, by quantity
    share_within_limits: float  # of the choices, estimated
    nothing_fits: str | None  # where no architecture is within the limits: these, and the least there is
    smallest: OutermostFigures
    largest: OutermostFigures
    reference: OutermostFigures


def space_figures(
    space: SearchSpace, *, name: str, num_classes: int | None = None, resolution: int | None = None
) -> SpaceFigures:
    """The figures of a space; small strides default to small images.

    Limits that no architecture keeps at this size and with these classes are a figure like any other: at
    those of a search there may be many.

    Raises:
        ConfigError: the resolution is too small.
    """
    num_classes = num_classes or DEFAULT_CLASSES
    small = space.reference.total_stride <= SMALL_STRIDE
    resolution = resolution or (SMALL_RESOLUTION if small else DEFAULT_RESOLUTION)
    networks = (space.decode(space.smallest()), space.decode(space.largest()), space.reference)
    try:
        smallest, largest, reference = (
            _outermost(architecture, num_classes=num_classes, resolution=resolution)
            for architecture in networks
        )
        share, nothing_fits = _share_within_limits(space, num_classes=num_classes, resolution=resolution)
    except ValueError as error:
        raise ConfigError(f"{name}: {error}") from error
    decisions = tuple(
        DecisionFigures(stage=decision.stage + 1, field=decision.field, options=decision.options)
        for decision in space.decisions
    )
    return SpaceFigures(
        name=name,
        size=space.size,
        distinct_size=space.num_architectures,
        num_classes=num_classes,
        resolution=resolution,
        decisions=decisions,
        limits={quantity: most for quantity, most in vars(space.limits).items() if most is not None},
        share_within_limits=share,
        nothing_fits=nothing_fits,
        smallest=smallest,
        largest=largest,
        reference=reference,
    )


def _share_within_limits(
    space: SearchSpace, *, num_classes: int, resolution: int
) -> tuple[float, str | None]:
    """The share (0-1), and why it is none."""
    try:
        return space.share_within_limits(num_classes=num_classes, resolution=resolution), None
    except NothingWithinLimitsError as error:
        return 0.0, error.reason


def _outermost(architecture: Architecture, *, num_classes: int, resolution: int) -> OutermostFigures:
    check_resolution(architecture, resolution)
    counts = count(architecture, num_classes=num_classes, resolution=resolution)
    return OutermostFigures(
        architecture_id=architecture.architecture_id,
        layers=sum(stage.layers for stage in architecture.stages),
        params=counts.params,
        macs=counts.macs,
    )

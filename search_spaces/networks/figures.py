"""Figures of one architecture: totals, and the share of each stage."""

from dataclasses import dataclass, field
from typing import Any

from search_spaces.networks.architecture import Architecture
from search_spaces.networks.counting import count
from search_spaces.networks.provenance import DEFAULT_CLASSES, DEFAULT_RESOLUTION, provenance_number
from search_spaces.networks.resolutions import check_resolution
from search_spaces.networks.stage_fields import ABSENT, SILU, Activation
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.kinds import LEFT_OUT


@dataclass(frozen=True, kw_only=True)
class StageFigures:
    """One stage as described, and its share of parameters and MACs."""

    op: str
    kernel_size: int
    stride: int
    expansion_ratio: float  # an int where it is whole
    channels: int
    layers: int
    se_ratio: float
    params: int
    macs: int
    out_side: int  # of its feature map, pixels
    activation: Activation = field(default=SILU, metadata={LEFT_OUT: SILU})
    start_kernel_size: int = field(default=ABSENT, metadata={LEFT_OUT: ABSENT})


@dataclass(frozen=True, kw_only=True)
class ArchitectureFigures:
    """A network with so many classes; MACs and activations of one image at the resolution."""

    name: str
    architecture_id: str
    num_classes: int
    resolution: int
    params: int
    macs: int
    activations: int
    blocks: int
    total_stride: int
    stages: tuple[StageFigures, ...]
    provenance: dict[str, Any] | None  # as in the architecture's file
    activation: Activation = field(default=SILU, metadata={LEFT_OUT: SILU})  # of stem and head


def architecture_figures(
    architecture: Architecture, *, name: str, num_classes: int | None = None, resolution: int | None = None
) -> ArchitectureFigures:
    """The figures of an architecture.

    Classes and resolution default to those of the trial that the file comes from, else 1,000 and 224.

    Raises:
        ConfigError: the resolution is too small for the network.
    """
    num_classes = num_classes or provenance_number(architecture, "num_classes", DEFAULT_CLASSES, name=name)
    resolution = resolution or provenance_number(architecture, "resolution", DEFAULT_RESOLUTION, name=name)
    try:
        check_resolution(architecture, resolution)
    except ValueError as error:
        raise ConfigError(f"{name}: {error}") from error
    counts = count(architecture, num_classes=num_classes, resolution=resolution)
    stages = tuple(
        StageFigures(
            op=stage.op,
            kernel_size=stage.kernel_size,
            stride=stage.stride,
            expansion_ratio=stage.expansion_ratio,
            channels=stage.channels,
            layers=stage.layers,
            se_ratio=stage.se_ratio,
            params=share.params,
            macs=share.macs,
            out_side=share.out_side,
            activation=stage.activation or SILU,
            start_kernel_size=stage.start_kernel_size,
        )
        for stage, share in zip(architecture.stages, counts.stages, strict=True)
    )
    return ArchitectureFigures(
        name=name,
        architecture_id=architecture.architecture_id,
        num_classes=num_classes,
        resolution=resolution,
        params=counts.params,
        macs=counts.macs,
        activations=counts.activations,
        blocks=sum(1 for _ in architecture.blocks()),
        total_stride=architecture.total_stride,
        stages=stages,
        provenance=architecture.provenance,
        activation=architecture.activation,
    )

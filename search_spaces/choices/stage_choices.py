"""The options that a stage of a search space offers for each of its fields."""

from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator
from pydantic.dataclasses import dataclass

from search_spaces.networks.architecture import (
    MAX_CHANNELS,
    MAX_LAYERS,
    NEVER_ABSENT,
    STRICT,
    Stage,
    absent_kernel,
)
from search_spaces.networks.ops import Op, op_facts
from search_spaces.networks.stage_fields import ABSENT, Activation, ExpansionRatio, KernelSize
from search_spaces.settings.faults import refuse

DECIDED = ("op", "kernel_size", "expansion_ratio", "channels", "layers", "se_ratio", "activation")
MAX_OPTIONS = 64


def _as_options(value: Any) -> Any:
    """A single value in YAML is a list of one option; a mapping (se_ratio by op) stays a mapping."""
    return value if isinstance(value, (list, tuple, dict)) else [value]


Ops = Annotated[tuple[Op, ...], BeforeValidator(_as_options), Field(min_length=1)]
Kernels = Annotated[tuple[KernelSize, ...], BeforeValidator(_as_options), Field(min_length=1)]
Expansions = Annotated[
    tuple[ExpansionRatio, ...],
    BeforeValidator(_as_options),
    Field(min_length=1, max_length=MAX_OPTIONS),
]
Widths = Annotated[
    tuple[Annotated[int, Field(ge=1, le=MAX_CHANNELS)], ...],
    BeforeValidator(_as_options),
    Field(min_length=1, max_length=MAX_OPTIONS),
]
Depths = Annotated[
    tuple[Annotated[int, Field(ge=0, le=MAX_LAYERS)], ...],
    BeforeValidator(_as_options),
    Field(min_length=1, max_length=MAX_OPTIONS),
]
Ratio = Annotated[float, Field(ge=0, le=1)]
SqueezeRatios = Annotated[
    Annotated[tuple[Ratio, ...], Field(min_length=1, max_length=MAX_OPTIONS)] | dict[Op, Ratio],
    BeforeValidator(_as_options),
]
Activations = Annotated[tuple[Activation, ...], BeforeValidator(_as_options), Field(min_length=1)]


def official_squeeze_ratios() -> tuple[float, ...] | dict[Op, float]:
    """The se_ratio of each op where a space does not say."""
    return {op: op_facts(op).se_ratio for op in get_args(Op)}


def _faults(options: Any, *, name: str | None, above: Mapping[str, Any]) -> Iterator[str]:
    """Mistakes in the options of a field; `above` has the fields above it, without those that are wrong."""
    if isinstance(options, tuple) and len(set(options)) < len(options):
        yield f"an option stands twice in {list(options)}; give each once"
    if isinstance(options, dict) and (missing := set(above.get("op", ())) - set(options)):
        yield f"no value for {', '.join(sorted(missing))}; give one for each op"
    if name == "kernel_size" and ABSENT in options:
        unable = [op for op in above.get("op", ()) if not op_facts(op).kernel_may_be_absent]
        if unable:
            yield absent_kernel(", ".join(unable))
    if name == "layers" and options == (0,):
        yield "0 alone is a stage that is never there; leave the stage out"
    elif name == "layers" and above.get("stride") == 2 and 0 in options:
        yield NEVER_ABSENT


@dataclass(frozen=True, kw_only=True, config=STRICT)
class StageChoices:
    """The fields of a Stage, each with a tuple of options; a single value in YAML is one option.

    `se_ratio` has options like the others, or is a mapping with one value for each op, which leaves nothing
    to decide (default, as in the official code: 0.25 for MBConv, 0 for Fused-MBConv). Without an `activation`
    it is the space's.
    """

    op: Ops
    kernel_size: Kernels
    stride: Literal[1, 2] = 1
    expansion_ratio: Expansions
    channels: Widths
    layers: Depths
    se_ratio: SqueezeRatios = field(default_factory=official_squeeze_ratios)
    activation: Activations | None = None

    @field_validator(*DECIDED)
    @classmethod
    def _check(cls, options: Any, info: ValidationInfo) -> Any:
        """Checks a field by itself and against those above it, so that faults of several are told at once."""
        refuse(_faults(options, name=info.field_name, above=info.data))
        return options

    def options(self, field: str) -> tuple[Any, ...]:
        """The options of a field of DECIDED; (None,) for a se_ratio that follows from the op.

        Also (None,) for an activation that a stage does not say.
        """
        value = getattr(self, field)
        return value if isinstance(value, tuple) else (None,)

    def stage(
        self,
        *,
        op: Op,
        kernel_size: int,
        expansion_ratio: float,
        channels: int,
        layers: int,
        se_ratio: float | None,
        activation: Activation | None = None,
    ) -> Stage:
        """The stage with these values; `se_ratio` is ignored where it follows from the op."""
        squeeze = self.se_ratio[op] if isinstance(self.se_ratio, dict) else se_ratio
        assert squeeze is not None, "a se_ratio that is a decision has a value"
        return Stage(
            op=op,
            kernel_size=kernel_size,
            stride=self.stride,
            expansion_ratio=expansion_ratio,
            channels=channels,
            layers=layers,
            se_ratio=squeeze,
            activation=activation,
        )

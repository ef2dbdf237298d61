"""The options that a stage of a search space offers for each of its fields."""

from collections.abc import Iterator, Mapping
from dataclasses import field
from itertools import product
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator
from pydantic.dataclasses import dataclass

from search_spaces.networks.architecture import (
    NEVER_ABSENT,
    NOTHING_STRIDES,
    Stage,
    absent_kernel,
    no_multiple,
)
from search_spaces.networks.bounds import MAX_CHANNELS, MAX_LAYERS
from search_spaces.networks.ops import SHIPPED_OPS, Op, is_own_op, no_op, op_facts
from search_spaces.networks.stage_fields import (
    ABSENT,
    Activation,
    ExpansionRatio,
    KernelSize,
    StartKernelSize,
)
from search_spaces.settings.faults import refuse
from search_spaces.settings.kinds import LEFT_OUT
from search_spaces.settings.strict import STRICT
from search_spaces.settings.value_hints import list_hint

DECIDED = (
    "op",
    "kernel_size",
    "expansion_ratio",
    "channels",
    "layers",
    "se_ratio",
    "activation",
    "start_kernel_size",
)
MAX_OPTIONS = 64
NOT_OF_ALL = {  # fields that not every op takes: the fact, the value that stands for none, and what to do
    "expansion_ratio": ("takes_expansion", 1, "none; give 1"),
    "se_ratio": ("takes_squeeze", 0, "none; leave it out"),
    "activation": ("takes_activation", None, "their own; leave it out"),
    "start_kernel_size": ("takes_start_kernel", ABSENT, "none; leave it out"),
}


def _as_options(value: Any) -> Any:
    """A single value in YAML is a list of one option; a mapping (se_ratio by op) stays a mapping."""
    return value if isinstance(value, (list, tuple, dict)) else [value]


def _as_ops(value: Any) -> Any:
    """As `_as_options`, of ops.

    Raises:
        ValueError: one text names several of them.
    """
    if isinstance(value, str) and (hint := list_hint(value, SHIPPED_OPS)):
        raise ValueError(f"{no_op(value)}{hint}")
    return _as_options(value)


Ops = Annotated[tuple[Op, ...], BeforeValidator(_as_ops), Field(min_length=1)]
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
StartKernels = Annotated[tuple[StartKernelSize, ...], BeforeValidator(_as_options), Field(min_length=1)]


def official_squeeze_ratios() -> tuple[float, ...] | dict[Op, float]:
    """The se_ratio of each op where a space does not say."""
    return {op: op_facts(op).se_ratio for op in SHIPPED_OPS if op_facts(op).takes_squeeze}


def _faults(options: Any, *, name: str | None, above: Mapping[str, Any]) -> Iterator[str]:
    """Mistakes in the options of a field; `above` has the fields above it, without those that are wrong."""
    if isinstance(options, tuple) and len(set(options)) < len(options):
        yield f"an option stands twice in {list(options)}; give each once"
    ops: tuple[Op, ...] = above.get("op", ())
    if isinstance(options, dict):
        yield from _squeeze_faults(options, ops)
    unable = [op for op in ops if not op_facts(op).kernel_may_be_absent]
    # Fine where one op may have none, and the others have another option.
    fits = len(unable) < len(ops) and options != (ABSENT,)
    if name == "kernel_size" and ABSENT in options and unable and not fits:
        yield absent_kernel(", ".join(unable))
    # A mapping by op may have more ops than the stage: the official ratios do, and are written to records.
    if name in NOT_OF_ALL and ops and not isinstance(options, dict):
        taken, none, words = NOT_OF_ALL[name]
        if options not in (None, (none,)) and not any(getattr(op_facts(op), taken) for op in ops):
            yield f"{' and '.join(ops)} stages have {words}"
    if name == "channels":
        for op in ops:
            if op_facts(op).narrows and op_facts(op).takes_expansion:
                pairs = product(options, above.get("expansion_ratio", ()))
                yield from (no_multiple(op, *pair) for pair in pairs if pair[0] % pair[1])
    if name == "layers" and options == (0,):
        yield "0 alone is a stage that is never there; leave the stage out"
    elif name == "layers" and above.get("stride") == 2 and 0 in options:
        yield NEVER_ABSENT


def _squeeze_faults(ratios: Mapping[Op, float], ops: tuple[Op, ...]) -> Iterator[str]:
    """Mistakes in a se_ratio by op; ops without squeeze-excite need no value."""
    if missing := {op for op in ops if op_facts(op).takes_squeeze} - set(ratios):
        yield f"no value for {', '.join(sorted(missing))}; give one for each op"
    if without := sorted(op for op, ratio in ratios.items() if ratio and not op_facts(op).takes_squeeze):
        yield f"{', '.join(without)} stages have none; leave it out"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class StageChoices:
    """The fields of a Stage, each with a tuple of options; a single value in YAML is one option.

    `se_ratio` has options like the others, or is a mapping with one value for each op, which leaves nothing
    to decide (default, as in the official code: 0.25 for MBConv, 0 for Fused-MBConv). Without an `activation`
    it is the space's. An op that does not take a field is the same with any option of it. One that needs its
    k x k convolution takes the first other option in place of a kernel of 0, and so does a stage of stride 2
    of which no other convolution could have the stride.
    """

    op: Ops
    kernel_size: Kernels
    stride: Literal[1, 2] = 1
    expansion_ratio: Expansions
    channels: Widths
    layers: Depths
    se_ratio: SqueezeRatios = field(default_factory=official_squeeze_ratios)
    activation: Activations | None = None
    start_kernel_size: StartKernels = field(default=(ABSENT,), metadata={LEFT_OUT: (ABSENT,)})

    def __post_init__(self) -> None:
        if self.stride == 2 and self.kernel_size == self.start_kernel_size == (ABSENT,):
            raise ValueError(f"kernel_size: {NOTHING_STRIDES}")
        if isinstance(self.se_ratio, dict):  # of the default; a mapping that is given names each op
            own = {op: 0.0 for op in self.op if is_own_op(op) and op not in self.se_ratio}
            object.__setattr__(self, "se_ratio", {**self.se_ratio, **own})

    @field_validator(*DECIDED)
    @classmethod
    def _check(cls, options: Any, info: ValidationInfo) -> Any:
        """Checks a field by itself and against those above it, to report faults of several at once."""
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
        start_kernel_size: int = ABSENT,
    ) -> Stage:
        """The stage with these values; `se_ratio` is ignored where it follows from the op.

        So are values of fields that the op does not take.
        """
        facts = op_facts(op)
        squeeze = self.se_ratio.get(op, 0.0) if isinstance(self.se_ratio, dict) else se_ratio
        assert squeeze is not None, "a se_ratio that is a decision has a value"
        kernel_size, start_kernel_size = self.kernels_of(op, kernel_size, start_kernel_size)
        return Stage(
            op=op,
            kernel_size=kernel_size,
            stride=self.stride,
            expansion_ratio=expansion_ratio if facts.takes_expansion else 1,
            channels=channels,
            layers=layers,
            se_ratio=squeeze if facts.takes_squeeze else 0.0,
            activation=activation if facts.takes_activation else None,
            start_kernel_size=start_kernel_size,
        )

    def kernels_of(self, op: Op, kernel_size: int, start_kernel_size: int) -> tuple[int, int]:
        """Kernel size and start kernel size of a stage with these options: others where it needs them."""
        facts = op_facts(op)
        if not facts.takes_start_kernel:
            start_kernel_size = ABSENT
        if not kernel_size and (
            not facts.kernel_may_be_absent or (self.stride == 2 and not start_kernel_size)
        ):
            # The first that is there. Only a stage that strides may have none, and then starts with one.
            kernel_size = next((size for size in self.kernel_size if size), ABSENT)
            if not kernel_size:
                start_kernel_size = next(size for size in self.start_kernel_size if size)
        return kernel_size, start_kernel_size

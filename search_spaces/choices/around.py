"""A search space around one network: the choices of every stage near its own, and limits from it."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from search_spaces.choices.limited_sampling import NothingWithinLimitsError
from search_spaces.choices.limits import COUNTED, Limits
from search_spaces.choices.own_limits import DEFAULT_LIMITS
from search_spaces.choices.space import OUTSIDE_STAGES, SearchSpace
from search_spaces.choices.stage_choices import StageChoices, official_squeeze_ratios
from search_spaces.networks.architecture import Architecture, Stage
from search_spaces.networks.bounds import MAX_LAYERS
from search_spaces.networks.counting import count
from search_spaces.networks.ops import Op, op_facts
from search_spaces.networks.stage_fields import ABSENT
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.yaml_files import from_mapping, parse_yaml, to_mapping
from search_spaces.settings.yaml_layout import laid_out

# Those of the paper's space (section 3.3)
OPS: tuple[Op, ...] = ("mbconv", "fused_mbconv")
KERNELS, EXPANSIONS = (3, 5), (1, 4, 6)


def space_around(
    architecture: Architecture,
    *,
    radius: int = 1,
    limits: Mapping[str, float] = DEFAULT_LIMITS,
    num_classes: int,
    resolution: int,
) -> SearchSpace:
    """The space of the networks whose stages are near those of an architecture, which it contains.

    Every stage may have its op or either of OPS, kernel sizes and expansion ratios within `radius` steps of
    its own in KERNELS and EXPANSIONS, and up to `radius` layers fewer (but at least one) or more. Channels,
    strides, activations, stem, head and padding stay. The architecture is the reference.

    Args:
        limits: by quantity of LIMITED, as multiples of the architecture's own.
        num_classes, resolution: with which its parameters and MACs are counted for their limits.

    Raises:
        ConfigError: a space cannot express the architecture, a limit would be below 1 or without bounds, or
            nothing is within the limits.
    """
    if architecture.kind is not None:
        raise ConfigError(
            f"it is a ResNet (kind: {architecture.kind}), and spaces have another stem and a head; name a "
            f"network without a kind"
        )
    reference = architecture.without_provenance()
    outside = {name: getattr(reference, name) for name in OUTSIDE_STAGES}
    space = SearchSpace(
        **outside,
        stages=tuple(_around(stage, radius) for stage in reference.stages),
        reference=reference,
        limits=_limits_of(reference, limits, num_classes=num_classes, resolution=resolution),
    )
    space.encode(reference)  # it is one of them
    if space.limits.counted():
        try:
            space.share_within_limits(num_classes=num_classes, resolution=resolution)
        except NothingWithinLimitsError as error:
            raise ConfigError(
                f"no architecture around it is within its limits ({error.reason}); give larger factors"
            ) from error
    return space


def space_text(space: SearchSpace, *, header: str) -> str:
    """The space as a file; a field of one option is a single value, and `header` its comment.

    It reads back as an equal space.
    """
    mapping = to_mapping(space)
    official = to_mapping(official_squeeze_ratios())
    rows = [{key: _single(value) for key, value in row.items()} for row in mapping["stages"]]
    if all(row["se_ratio"] == official for row in rows):
        rows = [{key: value for key, value in row.items() if key != "se_ratio"} for row in rows]
    mapping["stages"] = rows
    if not mapping["limits"]:
        del mapping["limits"]
    text = "".join(f"# {line}\n" for line in header.splitlines()) + laid_out(mapping)
    back = from_mapping(SearchSpace, parse_yaml(text, name="space"), name="space")
    assert back == space, "another space came back"
    return text


def _around(stage: Stage, radius: int) -> StageChoices:
    """The options of a stage; its own op comes first."""
    others = tuple(op for op in OPS if op != stage.op)
    squeeze: dict[str, float] = {op: op_facts(op).se_ratio for op in others}
    fewest = max(1, stage.layers - radius) if stage.layers else 0
    facts = op_facts(stage.op)
    expansions = _near(stage.expansion_ratio, EXPANSIONS, radius)
    if facts.narrows and facts.takes_expansion:
        expansions = tuple(ratio for ratio in expansions if stage.channels % ratio == 0)
    return StageChoices(
        op=(stage.op, *others),
        kernel_size=_near(stage.kernel_size, KERNELS, radius),
        stride=stage.stride,
        expansion_ratio=expansions,
        channels=(stage.channels,),
        layers=tuple(range(fewest, min(stage.layers + radius, MAX_LAYERS) + 1)),
        se_ratio={stage.op: stage.se_ratio, **squeeze},
        activation=(stage.activation,) if stage.activation else None,
        start_kernel_size=(
            _near(stage.start_kernel_size, (ABSENT, *KERNELS), radius)
            if facts.takes_start_kernel
            else (ABSENT,)
        ),
    )


def _near(own: float, known: Sequence[float], radius: int) -> tuple[Any, ...]:
    """The values within so many steps of its own, which need not be known."""
    values = sorted({*known, own})
    at = values.index(own)
    return tuple(values[max(0, at - radius) : at + radius + 1])


def _limits_of(
    reference: Architecture, factors: Mapping[str, float], *, num_classes: int, resolution: int
) -> Limits:
    counts = count(reference, num_classes=num_classes, resolution=resolution)
    found: dict[str, float] = {}
    for name, factor in factors.items():
        found[name] = _multiple(name, factor, getattr(counts, name)) if name in COUNTED else factor
    return Limits(**found)  # type: ignore[arg-type]


def _multiple(name: str, factor: float, own: int) -> int:
    """A limit that is a multiple of the architecture's own count."""
    limit = factor * own
    if not (1 <= limit < math.inf):
        wrong, instead = ("less than 1", "larger") if limit < 1 else ("too large", "smaller")
        raise ConfigError(
            f"{name}={factor:g}: {factor:g} times its own {own:,} is {wrong}; give a {instead} factor"
        )
    return math.floor(limit)


def _single(value: object) -> object:
    """The one option of a list of one."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value

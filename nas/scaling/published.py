"""Published networks: their factors and sizes, which of them a base is, and members scaled as they are."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

from nas.scaling.compound import (
    Ends,
    Member,
    Rules,
    build_member,
    scale_architecture,
    training_resolution,
)
from nas.scaling.factors import Coefficients
from nas.scaling.ratios import Ratios
from search_spaces.networks.architecture import Architecture
from search_spaces.networks.rounding import Rule
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.near_names import suggestion
from search_spaces.settings.yaml_files import read_yaml
from trials.pictures import LARGEST_EVALUATION


@dataclass(frozen=True, kw_only=True)
class Published:
    """A published network: factors on its B0 (None: set by hand), and its sizes in pixels.

    Sizes are the official code's; V2-M and V2-L are trained at the paper's 380 px (Table 6; the code: 384).
    """

    rounding: Rule
    width: float | None
    depth: float | None
    inference: int
    training: int | None  # None: V1, which was trained at inference's
    ends: Ends = "scaled"
    late_layers: bool = False


def _v1(width: float, depth: float, inference: int) -> Published:
    return Published(rounding="v1", width=width, depth=depth, inference=inference, training=None)


def _v2(width: float, depth: float, inference: int, training: int) -> Published:
    return Published(rounding="v2", width=width, depth=depth, inference=inference, training=training)


PUBLISHED = {
    "efficientnet-b0": _v1(1.0, 1.0, 224),
    "efficientnet-b1": _v1(1.0, 1.1, 240),
    "efficientnet-b2": _v1(1.1, 1.2, 260),
    "efficientnet-b3": _v1(1.2, 1.4, 300),
    "efficientnet-b4": _v1(1.4, 1.8, 380),
    "efficientnet-b5": _v1(1.6, 2.2, 456),
    "efficientnet-b6": _v1(1.8, 2.6, 528),
    "efficientnet-b7": _v1(2.0, 3.1, 600),
    "efficientnet-b8": _v1(2.2, 3.6, 672),
    "efficientnet-l2": _v1(4.3, 5.3, 800),
    "efficientnetv2-b0": _v2(1.0, 1.0, 224, 192),
    "efficientnetv2-b1": _v2(1.0, 1.1, 240, 192),
    "efficientnetv2-b2": _v2(1.1, 1.2, 260, 208),
    "efficientnetv2-b3": _v2(1.2, 1.4, 300, 240),
    "efficientnetv2-s": replace(_v2(1.4, 1.8, 384, 300), ends="stem_as_first_stage"),
    "efficientnetv2-m": replace(_v2(1.6, 2.2, 480, 380), ends="stem_as_first_stage", late_layers=True),
    "efficientnetv2-l": replace(_v2(2.0, 3.1, 480, 380), ends="stem_as_first_stage", late_layers=True),
    "efficientnetv2-xl": Published(rounding="v2", width=None, depth=None, inference=512, training=384),
}
B0 = "efficientnet-b0"  # on which alpha, beta and gamma were found
LARGEST = {"efficientnet": "efficientnet-l2", "efficientnetv2": "efficientnetv2-xl"}  # of each generation
SEARCHED = "efficientnetv2-s"  # the paper's search found it, and M and L are scaled from it (section 3.3)
SCALED_FROM_SEARCHED = ("efficientnetv2-m", "efficientnetv2-l")


def generation_of(name: str) -> str:
    """`efficientnet` or `efficientnetv2`."""
    return name.rpartition("-")[0]


def b0_of(name: str) -> str:
    """The B0 of a published network's generation."""
    return f"{generation_of(name)}-b0"


@cache
def published_architecture(name: str) -> Architecture:
    """The published network of that name."""
    return read_yaml(Architecture, Architecture.SHIPPED / f"{name}.yaml")


@cache
def _published_ids() -> dict[str, str]:
    return {published_architecture(name).architecture_id: name for name in PUBLISHED}


def published_name(architecture: Architecture) -> str | None:
    """Name of the published network that an architecture equals but for padding; None if there is none."""
    return _published_ids().get(replace(architecture, padding="symmetric").architecture_id)


def reference_for(base: Member, target: str, *, stated: str | None) -> str:
    """The published network in whose place a base stands when it is scaled like `target`.

    In this order: the one that was stated; the one that the base is; the one that its file says it was made
    like; V2-S for V2-M and V2-L, since a found network takes the place of the one that the paper found; the
    B0 of the target's generation.

    Raises:
        ConfigError: the stated network is not published or of another generation, or the base is a published
            one of another generation, and no B0.
    """
    if stated is not None:
        return _checked_reference(stated, target)
    own = published_name(base.architecture)
    made_like = (base.architecture.provenance or {}).get("like")
    stands_for = own or (made_like if made_like in PUBLISHED else None)
    if stands_for is None:
        return SEARCHED if target in SCALED_FROM_SEARCHED else b0_of(target)
    if generation_of(stands_for) == generation_of(target):
        return stands_for
    if stands_for == b0_of(stands_for):
        return b0_of(target)  # one B0 takes the place of the other
    raise ConfigError(
        f"--like {target}: the base {'is' if own else 'was made like'} {stands_for}, and there are no ratios "
        f"between networks of two generations; scale {b0_of(target)}, or say with --from which network of "
        f"{target}'s generation the base stands for"
    )


def _checked_reference(stated: str, target: str) -> str:
    same = [name for name in PUBLISHED if generation_of(name) == generation_of(target)]
    if stated not in same:
        raise ConfigError(
            f"--from {stated}: with --like {target} it is one of {', '.join(same)}{suggestion(stated, same)}"
        )
    return stated


def like_published(base: Member, name: str, rules: Rules, *, stated: str | None = None) -> Member:
    """The base scaled as the published network `name` is from another one, in whose place the base stands.

    From a B0 that is by the network's factors, the same for all stages, with its ends and late layers; from
    another published network stage by stage, by the ratios between the two (`Ratios`). Sizes in
    pixels grow in their ratio; above 480 px, V2's bound, only where the base is.

    Raises:
        ConfigError: there is no such network, or it was set by hand; the base's stages do not map onto the
            other's; else as `by_formula`, or as `reference_for`.
    """
    published = PUBLISHED.get(name)
    if published is None or published.width is None or published.depth is None:
        known = [key for key, value in PUBLISHED.items() if value.width is not None]
        found = "was set by hand, not scaled" if published else "is no network with published coefficients"
        hint = "" if published else suggestion(name, known)
        raise ConfigError(f"--like {name}: {name} {found}; there are {', '.join(known)}{hint}")
    reference = reference_for(base, name, stated=stated)
    rules = replace(rules, late_layers=published.late_layers)
    member = replace(base, rules=rules, like=name, like_from=reference)
    # From a B0 by the network's factors, the same for all stages.
    if reference == b0_of(name):
        rules = replace(rules, ends=published.ends if rules.ends == "scaled" else rules.ends)
        size = published.inference / PUBLISHED[reference].inference
        factors = Coefficients(published.depth, published.width, size)
        member = replace(member, rules=rules, coefficients=factors)
        return _built(member, lambda: scale_architecture(base.architecture, factors, rules))
    # From any other one stage by stage.
    ratios = Ratios(
        reference_name=reference,
        target_name=name,
        reference=published_architecture(reference),
        target=published_architecture(name),
    )
    ends = rules.ends == "scaled"
    member = _built(
        replace(member, coefficients=None),
        lambda: ratios.scale(base.architecture, rounding=rules.rounding, scale_ends=ends),
    )
    return replace(member, notes=tuple(ratios.notes(base.architecture)))


def _built(base: Member, build: Callable[[], Architecture]) -> Member:
    """The member that `build` returns, at sizes in the ratio of the base's `like` to its `like_from`."""
    assert base.like is not None
    assert base.like_from is not None
    published, reference = PUBLISHED[base.like], PUBLISHED[base.like_from]
    wanted = round(base.inference_resolution * published.inference / reference.inference)
    if published.training is None:
        inference = wanted
        training = training_resolution(base, inference, base.rules.heuristics)
    else:
        inference = min(wanted, max(LARGEST_EVALUATION, base.inference_resolution))
        training = round(base.inference_resolution * published.training / reference.inference)
        if inference < wanted:
            training = round(inference * published.training / published.inference)
    member = build_member(
        base, build, name=f"like-{base.like}", where=f"like {base.like}", sizes=(training, inference)
    )
    return replace(member, is_capped=inference < wanted)

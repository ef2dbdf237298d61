"""Figures of a family's members: sizes, how they were made, what was measured of them."""

from dataclasses import dataclass
from pathlib import Path

from nas.scaling.compound import Ends, Heuristics, Member
from nas.scaling.family import Scaled
from search_spaces.networks.rounding import Rule


@dataclass(frozen=True, kw_only=True)
class MemberFigures:
    """A member of a family.

    None: not scaled by the formula, as a published network or by the same factors for all stages; not
    measured; or not solved for a budget.
    """

    name: str
    architecture_id: str
    phi: float | None
    alpha: float | None
    beta: float | None
    gamma: float | None
    like: str | None
    like_from: str | None  # the published network in whose place the base stands
    depth: float | None
    width: float | None
    resolution_factor: float | None
    rounding: Rule
    heuristics: Heuristics
    ends: Ends
    late_layers: bool
    layers: int
    params: int
    macs: int  # of one image at the inference resolution
    macs_ratio: float  # to the base's
    num_classes: int
    training_resolution: int
    inference_resolution: int
    step_seconds: float | None
    step_time_ratio: float | None
    step_time_ratio_spread: float | None
    step_time_ratio_predicted: float | None
    timing_flag: str | None
    hours: float | None
    budget: dict[str, float] | None  # by quantity
    binds: tuple[str, ...] | None  # quantities that keep it from being larger


def member_figures(result: Scaled, member: Member) -> MemberFigures:
    """The figures of a member, or of the base."""
    formula, rules, factors = member.formula, member.rules, member.coefficients
    step, solution = result.step(member), result.solution(member)
    return MemberFigures(
        name=member.name,
        architecture_id=member.architecture.architecture_id,
        phi=member.phi,
        alpha=formula.alpha if formula else None,
        beta=formula.beta if formula else None,
        gamma=formula.gamma if formula else None,
        like=member.like,
        like_from=member.like_from,
        depth=factors.depth if factors else None,
        width=factors.width if factors else None,
        resolution_factor=factors.resolution if factors else None,
        rounding=rules.rounding,
        heuristics=rules.heuristics,
        ends=rules.ends,
        late_layers=rules.late_layers,
        layers=member.layers,
        params=member.params,
        macs=member.macs,
        macs_ratio=member.macs / result.base.macs,
        num_classes=member.num_classes,
        training_resolution=member.training_resolution,
        inference_resolution=member.inference_resolution,
        step_seconds=step.seconds if step else None,
        step_time_ratio=step.ratio if step else None,
        step_time_ratio_spread=step.spread if step else None,
        step_time_ratio_predicted=solution.predicted_ratio if solution else None,
        timing_flag=step.flag if step else None,
        hours=solution.figures.get("hours") if solution else None,
        budget=solution.budget.limits if solution else None,
        binds=solution.binds if solution else None,
    )


@dataclass(frozen=True, kw_only=True)
class BaseFigures(MemberFigures):
    """The base of a family, and where it was read."""

    source: str


@dataclass(frozen=True, kw_only=True)
class FamilyFigures:
    """A family: its members, and the files that were written."""

    base: BaseFigures
    members: tuple[MemberFigures, ...]
    device_name: str | None
    files: tuple[str, ...]
    notes: tuple[str, ...]


def family_json(result: Scaled, files: list[Path]) -> FamilyFigures:
    """The whole family for --json."""
    base = vars(member_figures(result, result.base))
    return FamilyFigures(
        base=BaseFigures(source=result.request.source, **base),
        members=tuple(member_figures(result, member) for member in result.members),
        device_name=result.device_name,
        files=tuple(map(str, files)),
        notes=tuple(result.notes),
    )

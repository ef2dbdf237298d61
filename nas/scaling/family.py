"""A request for a family of scaled networks, and the family that is made of it: base, members, step times."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from nas.scaling.compound import Heuristics, Member, Rules, by_coefficients, by_formula, trained_at
from nas.scaling.factors import PAPER, Coefficients, Formula
from nas.scaling.grid import grid_members
from nas.scaling.notes import family_notes, late_layers_notes
from nas.scaling.published import PUBLISHED, generation_of, like_published
from nas.scaling.solver import Budget, Solution, solve
from nas.scaling.steps import Step, StepTable
from nas.scaling.timer import OnStatus, StepTimer
from search_spaces.choices.described import read_described
from search_spaces.networks.architecture import Architecture
from search_spaces.networks.provenance import DEFAULT_CLASSES, DEFAULT_RESOLUTION, provenance_number
from search_spaces.networks.resolutions import check_resolution
from search_spaces.networks.rounding import Rule
from search_spaces.settings.config_error import ConfigError

OnKnown = Callable[[Sequence[Member]], None]


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request for members by phi, by coefficients, like published ones, in budgets, or for the grid."""

    source: str
    formula: Formula = PAPER
    phis: tuple[float, ...] = ()
    coefficients: Coefficients | None = None
    like: tuple[str, ...] = ()
    like_from: str | None = (
        None  # the published network in whose place the source stands; None: see published
    )
    budgets: tuple[Budget, ...] = ()
    grid: bool = False
    rounding: Rule | None = None  # default: the published network's, else the heuristics' own
    heuristics: Heuristics = "v2"
    fix_ends: bool = False
    late_layers: bool = False
    num_classes: int | None = None
    resolution: int | None = None  # of the base at inference
    measure: bool = False
    batch_size: int | None = None

    @property
    def stem(self) -> str:
        """Beginning of the names of the family's files."""
        return Path(self.source).stem if Path(self.source).is_file() else self.source

    @property
    def needs_step_time(self) -> bool:
        """True where a budget limits a quantity that has to be measured."""
        return any(budget.needs_step_time for budget in self.budgets)

    @property
    def rules(self) -> Rules:
        """Rules by which the family is rounded and bounded."""
        return Rules(
            rounding=self.rounding or self.heuristics,
            heuristics=self.heuristics,
            ends="fixed" if self.fix_ends else "scaled",
            late_layers=self.late_layers,
        )

    def rules_like(self, name: str) -> Rules:
        """The same rules, rounding as that published network does unless a rule was chosen."""
        published = PUBLISHED.get(name)
        default = published.rounding if published else self.heuristics
        return replace(self.rules, rounding=self.rounding or default)


@dataclass(frozen=True, kw_only=True)
class Scaled:
    """A family: the base, its members, what was measured of them, and which answer a budget."""

    request: Request
    base: Member
    members: tuple[Member, ...]
    solutions: tuple[Solution, ...] = ()
    table: StepTable | None = None
    device_name: str | None = None
    notes: tuple[str, ...] = ()

    def step(self, member: Member) -> Step | None:
        """The measured training step of a member; None where nothing was measured."""
        return self.table.known(member) if self.table else None

    def solution(self, member: Member) -> Solution | None:
        """The budget that a member answers."""
        return next((found for found in self.solutions if found.member.name == member.name), None)


def read_base(request: Request) -> Member:
    """The network that is scaled, at its own sizes, classes as described.

    Sizes come from the request, from the file's provenance, from the published table, else they are 224 px at
    inference. Training's follow by the heuristics where nothing says them.

    Raises:
        ConfigError: the source is no architecture, or the resolution is too small for it.
    """
    source = request.source
    architecture = read_described(source)
    if not isinstance(architecture, Architecture):
        raise ConfigError(f"{source}: this is a space; nas scale takes an architecture, as nas export writes")
    if architecture.kind is not None:
        raise ConfigError(f"{source}: a {architecture.kind}; compound scaling is for EfficientNets")
    published = PUBLISHED.get(source) if not Path(source).is_file() else None
    default = published.inference if published else DEFAULT_RESOLUTION
    own = provenance_number(architecture, "resolution", default, name=source)
    inference = request.resolution or own
    training = inference if request.heuristics == "v1" else trained_at(inference)
    training = max(training, architecture.total_stride)
    if inference == own:
        stated = published.training if published and published.training else training
        training = provenance_number(architecture, "training_resolution", stated, name=source)
    try:
        check_resolution(architecture, min(inference, training))
    except ValueError as error:
        raise ConfigError(f"{source}: {error}; say the base's with --base-resolution") from error
    classes = request.num_classes or provenance_number(
        architecture, "num_classes", DEFAULT_CLASSES, name=source
    )
    return Member(
        name="base",
        architecture=architecture,
        num_classes=classes,
        training_resolution=training,
        inference_resolution=inference,
    )


def scale(request: Request, *, console: Console, on_known: OnKnown = lambda members: None) -> Scaled:
    """The whole family; shows on a terminal what is being measured.

    Args:
        on_known: gets the members that are known before anything is measured: all of them, unless a
            budget limits the step time.

    Raises:
        ConfigError: nothing was asked for, or a member cannot be built or measured.
    """
    _check_asked(request)
    base = read_base(request)
    members = _without_solving(request, base)
    if request.needs_step_time:
        on_known(members)
    else:
        counted = _scaled(request, base, members, table=None, device_name=None)
        on_known(counted.members)
        if not request.measure:
            return counted
    if not console.is_terminal:
        return _measured(request, base, members, on_status=lambda text: None)
    with console.status("measuring") as status:
        return _measured(request, base, members, on_status=status.update)


def _measured(request: Request, base: Member, members: list[Member], *, on_status: OnStatus) -> Scaled:
    timer = StepTimer(base, batch_size=request.batch_size, on_status=on_status)
    table = StepTable(base, timer)
    request = _with_batch_size(request, timer.conditions.batch_size)
    name = timer.conditions.device_name
    result = _scaled(request, base, members, table=table, device_name=name)
    if request.measure:
        for member in (base, *result.members):
            table.of(member)
    return result


def _check_asked(request: Request) -> None:
    if not (request.phis or request.coefficients or request.like or request.budgets or request.grid):
        raise ConfigError(
            "say which members: --phi 1 --phi 2, --depth, --width and --resolution, --like efficientnet-b3, "
            "a budget (--params, --macs, --step-time-ratio, --hours), or --grid"
        )
    if request.like_from and not request.like:
        raise ConfigError("--from given without --like, and it says from which network --like scales")
    if request.like and request.late_layers:
        raise ConfigError(
            f"--late-layers with --like {request.like[0]}: how many layers its late stages get is that "
            "network's; leave --late-layers out, or scale by --phi, or by --depth and --width"
        )
    first = next((name for name in request.like if generation_of(name) == "efficientnetv2"), None)
    if first and request.heuristics == "v1":
        raise ConfigError(
            f"--v1 with --like {first}: that network's sizes in training and at inference are its own; leave "
            "--v1 out, or scale by --phi, or by --depth, --width and --resolution"
        )


def _with_batch_size(request: Request, batch_size: int) -> Request:
    """The request with the batch that steps are measured with, on which hours depend."""

    def with_batch(budget: Budget) -> Budget:
        training = budget.training and replace(budget.training, batch_size=batch_size)
        return replace(budget, training=training)

    return replace(request, budgets=tuple(map(with_batch, request.budgets)))


def _without_solving(request: Request, base: Member) -> list[Member]:
    rules = request.rules
    members = [by_formula(base, phi, request.formula, rules) for phi in request.phis]
    if request.coefficients is not None:
        members.append(by_coefficients(base, request.coefficients, rules))
    members += [
        like_published(base, name, request.rules_like(name), stated=request.like_from)
        for name in request.like
    ]
    return members + (grid_members(base, rules) if request.grid else [])


def _scaled(
    request: Request,
    base: Member,
    members: Sequence[Member],
    *,
    table: StepTable | None,
    device_name: str | None,
) -> Scaled:
    # Members that budgets ask for join those that were asked for; of equal names one stays.
    solutions = [
        solve(base, request.formula, request.rules, budget, table=table) for budget in request.budgets
    ]
    by_name = {member.name: member for member in (*members, *(found.member for found in solutions))}
    ordered = list(by_name.values())
    if not request.grid:
        ordered.sort(key=lambda member: (member.macs, member.params))
    notes = family_notes(base, ordered)
    if request.late_layers:
        notes += late_layers_notes(base, ordered)
    notes += dict.fromkeys(line for found in solutions for line in found.notes)
    return Scaled(
        request=request,
        base=base,
        members=tuple(ordered),
        solutions=tuple(solutions),
        table=table,
        device_name=device_name,
        notes=tuple(notes),
    )

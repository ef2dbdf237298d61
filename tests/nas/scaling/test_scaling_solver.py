"""The largest member within a budget: counted, predicted and verified, with step times from a formula."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import torch
from clocks import number_of_weights, passes_that_take
from scaled_networks import QUIET, screen_of, small_base

from nas.scaling.compound import Member, Rules, by_coefficients, by_formula
from nas.scaling.factors import PAPER, Coefficients, Formula
from nas.scaling.family import Request, Scaled, scale
from nas.scaling.files import scale_into
from nas.scaling.solver import (
    MAX_MEASUREMENTS,
    PRECISION,
    Budget,
    Solution,
    Training,
    budgets_of,
    lowest_phi,
    solve,
)
from nas.scaling.steps import Step, StepTable
from nas.scaling.timer import StepTimer
from nas.screens.scaling import solution_lines
from search_spaces.networks.architecture import Architecture
from search_spaces.networks.network import Network
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.yaml_files import read_yaml, write_yaml

pytestmark = pytest.mark.usefixtures("as_a_worker")

BASE = small_base()
RULES = Rules()


@dataclass
class Clock:
    """Step times by a formula of the MACs, and the members that were measured."""

    seconds: Callable[[float], float] = lambda macs: 1e-9 * macs
    calls: list[Member] = field(default_factory=list)

    def __call__(self, member: Member) -> Step:
        self.calls.append(member)
        base = self.seconds(BASE.training_macs)
        seconds = self.seconds(member.training_macs)
        return Step(seconds=seconds, ratio=seconds / base)


def solved(budget: Budget, clock: Clock | None = None, formula: Formula = PAPER) -> Solution:
    table = StepTable(BASE, clock) if clock else None
    return solve(BASE, formula, RULES, budget, table=table)


def next_larger(member: Member, formula: Formula = PAPER) -> Member:
    """The first different member above, by small steps."""
    assert member.phi is not None
    phi = member.phi
    while (other := by_formula(BASE, phi, formula, RULES)).builds_the_same(member):
        phi += PRECISION
    return other


@pytest.mark.parametrize("quantity", ["params", "macs"])
@pytest.mark.parametrize("share", [0.6, 1.0, 1.7, 3.1])
def test_solver_finds_the_largest_member_within_the_budget(quantity: str, share: float) -> None:
    limit = share * getattr(BASE, quantity)
    found = solved(Budget(**{quantity: limit}))
    assert getattr(found.member, quantity) <= limit
    assert getattr(next_larger(found.member), quantity) > limit
    assert found.binds == (quantity,)
    assert found.figures == {quantity: getattr(found.member, quantity)}


def test_the_tighter_of_two_budgets_binds_a_scaled_network() -> None:
    tight = Budget(params=1.5 * BASE.params, macs=50 * BASE.macs)
    assert solved(tight).binds == ("params",)
    assert solved(replace(tight, params=50.0 * BASE.params, macs=1.5 * BASE.macs)).binds == ("macs",)


def test_budget_of_exactly_a_members_macs_gives_that_member() -> None:
    target = by_formula(BASE, 1.5, PAPER, RULES)
    assert solved(Budget(macs=target.macs)).member.macs == target.macs


def test_phi_has_no_more_decimals_than_its_member_needs() -> None:
    found = solved(Budget(params=2 * BASE.params)).member
    assert found.phi is not None
    assert round(found.phi, 4) == found.phi
    assert found.name == f"phi{found.phi:g}"


def test_solver_scales_only_what_the_formula_scales() -> None:
    found = solved(Budget(macs=3 * BASE.macs), formula=Formula(alpha=2, beta=1, gamma=1)).member
    assert found.inference_resolution == BASE.inference_resolution
    assert found.architecture.stem_channels == BASE.architecture.stem_channels
    assert found.layers > BASE.layers


def test_budget_that_no_member_meets_says_what_the_smallest_has() -> None:
    with pytest.raises(ConfigError, match=r"--params 100: no member .* smallest \(phi -.* has .* parameters"):
        solved(Budget(params=100))
    with pytest.raises(ConfigError, match=r"--step-time-ratio 0.001: no member"):
        solved(Budget(step_time_ratio=1e-3), Clock())


def test_budget_that_no_member_exceeds_gives_the_largest_there_is() -> None:
    found = solved(Budget(params=1e15))
    assert found.binds == ()
    assert found.member.params > 50 * BASE.params


def test_the_smallest_member_has_images_of_the_total_stride() -> None:
    phi = lowest_phi(BASE, PAPER, RULES)
    assert by_formula(BASE, phi, PAPER, RULES).inference_resolution == BASE.architecture.total_stride
    with pytest.raises(ConfigError, match="too small"):
        by_formula(BASE, phi - 0.5, PAPER, RULES)


# ---------------------------------------------------------------------- step times


def test_step_times_proportional_to_macs_need_three_measurements() -> None:
    clock = Clock()
    found = solved(Budget(step_time_ratio=3), clock)
    assert len(clock.calls) == 3  # the base, the member, and the next larger one
    assert clock.calls[0] is BASE
    assert found.step is not None
    assert found.step.ratio <= 3
    assert found.predicted_ratio == pytest.approx(found.step.ratio)
    assert next_larger(found.member).training_macs / BASE.training_macs > 3
    assert found.binds == ("step_time_ratio",)


@pytest.mark.parametrize("power", [0.4, 0.7, 1.3])
@pytest.mark.parametrize("ratio", [0.8, 2.0, 4.0])
def test_step_times_not_proportional_to_macs_need_a_few_measurements_more(power: float, ratio: float) -> None:
    clock = Clock(lambda macs: 0.3 + (macs / BASE.training_macs) ** power)
    found = solved(Budget(step_time_ratio=ratio), clock)
    assert found.step is not None
    assert found.step.ratio <= ratio
    larger = clock(next_larger(found.member)).ratio
    assert larger > ratio * 0.98
    assert len(clock.calls) <= 1 + MAX_MEASUREMENTS + 1


def test_member_that_the_solver_returns_was_measured_itself() -> None:
    clock = Clock(lambda macs: 1e-9 * macs**1.1)
    found = solved(Budget(step_time_ratio=3, params=1e9), clock)
    assert any(call.builds_the_same(found.member) for call in clock.calls)


def test_a_counted_limit_may_bind_where_step_times_are_measured() -> None:
    clock = Clock()
    found = solved(Budget(step_time_ratio=100, params=1.5 * BASE.params), clock)
    assert found.binds == ("params",)
    assert found.step is not None


def test_larger_members_with_shorter_step_times_are_noted_and_not_trusted() -> None:
    small, large = (by_formula(BASE, phi, PAPER, RULES) for phi in (1, 2))
    ratios = {"base": 1.0, "phi1": 2.5, "phi2": 2.0}
    table = StepTable(BASE, lambda member: Step(seconds=ratios[member.name], ratio=ratios[member.name]))
    assert table.of(large).ratio == 2.0
    assert table.of(small).ratio == 2.5
    assert table.predicted_ratio(large) == pytest.approx(2.5)
    assert table.predicted_ratio(by_formula(BASE, 3, PAPER, RULES)) > 2.5
    (note,) = table.notes()
    assert "do not grow with size between phi1 (2.50x) and phi2 (2.00x)" in note


def test_predicted_step_times_pass_through_measured_ones_and_never_fall() -> None:
    table = StepTable(BASE, Clock(lambda macs: 0.5 + macs / BASE.training_macs))
    members = [by_formula(BASE, phi / 2, PAPER, RULES) for phi in range(-3, 7)]
    for member in members[::4]:
        table.of(member)
    predicted = [table.predicted_ratio(member) for member in members]
    assert predicted == sorted(predicted)
    for member in members[::4]:
        assert table.predicted_ratio(member) == pytest.approx(table.of(member).ratio)


def test_hours_of_a_budget_are_steps_times_their_seconds() -> None:
    training = Training(epochs=10, images=1001, batch_size=100)
    assert training.hours(3.6) == pytest.approx(10 * 10 * 3.6 / 3600)  # the last image is left out
    clock = Clock()
    base_hours = training.hours(clock.seconds(BASE.training_macs))
    found = solved(Budget(hours=3 * base_hours, training=training), clock)
    assert found.binds == ("hours",)
    assert 2 * base_hours < found.figures["hours"] <= 3 * base_hours
    text = "\n".join(solution_lines(found))
    assert "10 epochs of 1,001 images in batches of 100" in text
    assert "the next larger one exceeds the hours" in text
    assert re.search(r"\([+-]0\.0 %\)", text)


# ---------------------------------------------------------------------- what is asked


def test_one_limit_of_a_budget_may_have_several_values() -> None:
    found = budgets_of({"params": [1e6, 2e6], "macs": [5e6]}, epochs=None, images=None)
    assert found == (Budget(params=1e6, macs=5e6), Budget(params=2e6, macs=5e6))
    assert budgets_of({"params": None}, epochs=None, images=None) == ()
    (hours,) = budgets_of({"hours": [3.0]}, epochs=2, images=100)
    assert hours.training == Training(epochs=2, images=100)


@pytest.mark.parametrize(
    ("limits", "epochs", "images", "words"),
    [
        ({"params": [1.0, 2.0], "macs": [1.0, 2.0]}, None, None, "--params and --macs have several values"),
        ({"hours": [1.0]}, None, None, "^--hours given without --epochs and --images: a budget of hours"),
        ({"hours": [1.0]}, 3, None, "^--hours and --epochs given without --images: a budget of hours"),
        ({"params": [1.0]}, 3, 100, "^--epochs and --images given without --hours: a budget of hours"),
        ({"params": [-1.0]}, None, None, "--params: -1 is no budget"),
        ({"step_time_ratio": [float("inf")]}, None, None, "--step-time-ratio: inf is no budget"),
    ],
)
def test_odd_budgets_of_scaling_are_refused_with_the_reason(
    limits: dict[str, list[float]], epochs: int | None, images: int | None, words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        budgets_of(limits, epochs=epochs, images=images)


# ---------------------------------------------------------------------- the real step


def test_step_times_are_of_each_members_own_network_and_images() -> None:
    member = by_formula(BASE, 3, PAPER, RULES)
    assert member.training_resolution > BASE.training_resolution
    seen: set[tuple[int, int]] = set()

    def look(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        if isinstance(module, Network) and len(inputs[0]) == 4:
            seen.add((number_of_weights(module), inputs[0].shape[-1]))

    def seconds(network: Network, images: int) -> float:
        return 1e-8 * number_of_weights(network)

    hook = torch.nn.modules.module.register_module_forward_pre_hook(look)
    try:
        with passes_that_take(seconds):
            timer = StepTimer(BASE, batch_size=4)
            alone, larger = timer(BASE), timer(member)
    finally:
        hook.remove()
    assert seen == {(each.params, each.training_resolution) for each in (BASE, member)}
    assert alone.ratio == 1
    assert larger.ratio == pytest.approx(member.params / BASE.params)
    assert larger.seconds == pytest.approx(1e-8 * member.params)


def test_a_batch_beyond_the_memory_is_refused_with_advice() -> None:
    timer = StepTimer(BASE, batch_size=4)
    timer.conditions = replace(timer.conditions, batch_size=65_536)
    large = by_coefficients(BASE, Coefficients(resolution=15), RULES)
    with pytest.raises(ConfigError, match=r"d1-w1-r15: a step of 65536 images of 384 px .* --batch-size"):
        timer(large)


def test_measuring_a_family_shows_the_step_time_of_every_member(tmp_path: Path) -> None:
    write_yaml(BASE.architecture, tmp_path / "small.yaml")
    request = Request(
        source=str(tmp_path / "small.yaml"), phis=(-1, 2), resolution=32, measure=True, batch_size=4
    )
    family, files = scale_into(tmp_path / "family", request, force=False, console=QUIET)
    for member in (family.base, *family.members):
        assert family.step(member) is not None
    shown = screen_of(family, files)
    assert "1.00x" in shown
    assert "step: over the base's" in shown
    wide = [line for line in shown.splitlines() if len(line) > 80]
    assert all(str(tmp_path) in line for line in wide), wide  # a command to copy is never broken
    written = read_yaml(Architecture, files[0]).provenance
    assert written is not None
    assert written["step_time_ratio"] > 0
    assert written["device_name"] == family.device_name


def test_hours_are_of_the_batches_that_were_measured(tmp_path: Path) -> None:
    write_yaml(BASE.architecture, tmp_path / "small.yaml")
    budgets = budgets_of({"hours": [1000.0], "params": [1.3 * BASE.params]}, epochs=1, images=1000)
    request = Request(
        source=str(tmp_path / "small.yaml"), budgets=budgets, resolution=32, num_classes=10, batch_size=4
    )
    (found,) = scale(request, console=QUIET).solutions
    assert found.budget.training == Training(epochs=1, images=1000, batch_size=4)
    assert 0 < found.figures["hours"] < 1000
    assert found.binds == ("params",)


def test_the_family_tells_which_member_answers_a_budget() -> None:
    found = solved(Budget(params=2 * BASE.params))
    other = by_formula(BASE, 0.1, PAPER, RULES)
    family = Scaled(
        request=Request(source="small"), base=BASE, members=(other, found.member), solutions=(found,)
    )
    assert family.solution(found.member) is found
    assert family.solution(other) is None
    assert family.step(other) is None

"""Inference time: alternate timing, modes left alone, as a reward term and a limit of real trials."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import MakeConfig
from test_train import CPU, WIDE, make_trial, new_step, run
from torch import nn

from nas.search import needs_inference_time, search
from search_spaces.limits import Limits
from trials.alternating import FEWEST_ROUNDS, ROUNDS, alternate
from trials.executors.in_process import in_process
from trials.inference_time import measure_inference_time
from trials.reward import Reward
from trials.rows import trial_row
from trials.trial import Timing

pytestmark = pytest.mark.usefixtures("as_a_worker")


class Clock:
    """Seconds that pass when work says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def work(self, *seconds: float) -> Callable[[], None]:
        """Work that takes these seconds in turn."""
        calls = 0

        def run() -> None:
            nonlocal calls
            self.now += seconds[calls % len(seconds)]
            calls += 1

        return run


def test_a_drifting_clock_does_not_move_the_ratio() -> None:
    clock = Clock()
    slower = 1.0

    def drifting(base: float) -> Callable[[], None]:
        def run() -> None:
            nonlocal slower
            slower *= 1.01
            clock.now += base * slower

        return run

    timed = alternate(drifting(2.0), drifting(1.0), clock=clock)
    assert timed.ratio == pytest.approx(2.0, rel=0.01)
    assert timed.rounds == ROUNDS
    assert timed.flag is None


def test_scatter_is_measured_again_and_flagged() -> None:
    clock = Clock()
    timed = alternate(clock.work(1.0, 2.0, 3.0), clock.work(1.0), clock=clock)
    assert timed.flag is not None
    assert timed.flag.startswith("spread ")


def test_slow_work_takes_fewer_rounds() -> None:
    clock = Clock()
    timed = alternate(clock.work(50.0), clock.work(10.0), clock=clock, max_seconds=60.0)
    assert timed.rounds == FEWEST_ROUNDS
    assert timed.ratio == pytest.approx(5.0)


def test_slow_work_is_neither_warmed_up_twice_nor_estimated() -> None:
    clock = Clock()
    alternate(clock.work(50.0), clock.work(10.0), clock=clock, max_seconds=60.0)
    assert clock.now == (50 + 10) + (10 + 50 + 10)  # the warm-up, and R C R


def test_work_without_a_reference_is_timed_alone() -> None:
    clock = Clock()
    timed = alternate(clock.work(2.0), None, clock=clock)
    assert (timed.candidate_median, timed.reference_median, timed.ratio) == (2.0, 2.0, 1.0)
    assert (timed.rounds, timed.spread, timed.flag) == (ROUNDS, 0.0, None)
    scattering = alternate(clock.work(1.0, 2.0, 3.0), None, clock=clock)
    assert scattering.flag is not None


def test_chunks_of_quick_work_are_long_enough() -> None:
    clock = Clock()
    timed = alternate(clock.work(0.001), clock.work(0.002), clock=clock)
    assert timed.ratio == pytest.approx(0.5)
    assert timed.cost_seconds > 11 * 0.1 * 0.99


def test_networks_are_timed_in_evaluation_mode_and_left_as_they_were() -> None:
    candidate, reference = new_step(architecture=WIDE).network, new_step().network
    candidate.train()
    candidate.stem.eval()  # a part may be frozen
    reference.eval()
    modes: set[bool] = set()
    candidate.register_forward_hook(lambda network, *_: modes.add(network.training))
    before = {name: tensor.clone() for name, tensor in candidate.state_dict().items()}
    timed = measure_inference_time(
        candidate, reference, batch_size=4, resolution=16, device=CPU, precision="fp32"
    )
    assert modes == {False}
    assert (candidate.training, candidate.stem.training, reference.training) == (True, False, False)
    assert all(torch.equal(before[name], tensor) for name, tensor in candidate.state_dict().items())
    assert timed.inference_seconds_p10 <= timed.inference_seconds <= timed.inference_seconds_p90
    assert timed.inference_time_ratio > 1.5
    assert (timed.batch_size, timed.resolution) == (4, 16)


def test_the_same_network_takes_the_same_time() -> None:
    network: nn.Module = new_step().network
    clock = Clock()
    network.register_forward_hook(lambda *_: setattr(clock, "now", clock.now + 0.01))
    timed = measure_inference_time(
        network, network, batch_size=1, resolution=16, device=CPU, precision="fp32", clock=clock
    )
    assert timed.inference_time_ratio == pytest.approx(1.0)


def test_a_trial_measures_it_where_it_is_asked_for() -> None:
    _, without = run(make_trial())
    assert without.inference_time is None
    timing = Timing(inference_batch_size=2)
    _, measured = run(replace(make_trial(), needs_inference_time=True, timing=timing))
    assert measured.measurement is not None
    assert measured.inference_time is not None
    assert measured.inference_time.batch_size == 2
    assert [e.train_loss for e in measured.epochs] == [e.train_loss for e in without.epochs]
    ratio = measured.inference_time.inference_time_ratio
    reward = Reward({"inference_time_ratio": -0.5})(measured)
    assert reward == pytest.approx(measured.measurement.accuracy * ratio**-0.5)


def test_scattering_inference_time_is_flagged_in_the_row() -> None:
    timing = Timing(inference_batch_size=2)
    _, measured = run(replace(make_trial(), needs_inference_time=True, timing=timing))
    assert measured.measurement is not None
    assert measured.inference_time is not None

    def flag_of(step_flag: str | None, inference_flag: str | None) -> str | None:
        assert measured.measurement is not None
        assert measured.inference_time is not None
        step_time = replace(measured.measurement.step_time, flag=step_flag)
        flagged = replace(
            measured,
            measurement=replace(measured.measurement, step_time=step_time),
            inference_time=replace(measured.inference_time, flag=inference_flag),
        )
        return trial_row({}, flagged, reward=0.5, environment_id="e")["timing_flag"]

    assert flag_of(None, None) is None
    assert flag_of("spread 12%", None) == "spread 12%"
    assert flag_of(None, "spread 15%") == "inference: spread 15%"
    assert flag_of("spread 12%", "spread 15%") == "spread 12%; inference: spread 15%"


def test_a_trial_beyond_a_measured_limit_is_infeasible_before_it_trains() -> None:
    for limits in ({"step_time_ratio": 0.01}, {"inference_seconds": 1e-9}, {"inference_time_ratio": 1e-6}):
        _, result = run(replace(make_trial(), needs_inference_time=True, limits=limits))
        (name,) = limits
        assert (result.status, result.failure_kind) == ("infeasible", "over_limit")
        assert (result.error or "").startswith(f"{name} is ")
        assert result.params is not None
        assert result.step_time is not None
        assert result.epochs == ()
    _, within = run(replace(make_trial(), limits={"step_time_ratio": 1000.0}))
    assert within.status == "completed"


def test_a_search_measures_what_its_reward_and_limits_need(make_config: MakeConfig, tmp_path: Path) -> None:
    plain = make_config()
    assert not needs_inference_time(plain)
    rewarded = make_config(reward={"inference_time_ratio": -0.07})
    assert needs_inference_time(rewarded)
    limited = replace(plain, space=replace(plain.space, limits=Limits(inference_seconds=10.0)))
    assert needs_inference_time(limited)
    config = make_config(
        data={"source": "digits", "fraction": 0.2},
        recipe={"epochs": 1, "batch_size": 64, "resolution": 16, "flip": False},
        reward={"inference_time_ratio": -0.07},
        baseline=1,
        budget={"trials": 2},
    )
    config = replace(config, space=replace(config.space, limits=Limits(step_time_ratio=1e-3)))
    result = search(config, tmp_path / "run", execute=in_process(device="cpu"))
    assert [row["status"] for row in result.rows] == ["infeasible"] * 2
    for row in result.rows:
        assert row["failure_kind"] == "over_limit"
        assert row["reward"] == 0.0
        assert row["inference_seconds"] > 0
        assert row["inference_batch_size"] == 1

"""Inference time of real trials: as a reward term, as a limit, in the row."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import MakeConfig
from formula import formula_result
from small_trials import make_trial, run_digits_trial

from nas.search.search import search
from nas.search.trial_builder import needs_inference_time
from search_spaces.choices.limits import Limits
from trials.executors.in_process import in_process
from trials.log.rows import trial_row
from trials.measurement import Timing
from trials.reward import Reward
from trials.training.step import TrainingStep, build_step

pytestmark = pytest.mark.usefixtures("as_a_worker")


def test_trial_measures_inference_time_where_it_is_asked_for() -> None:
    _, without = run_digits_trial(make_trial())
    assert without.inference_time is None
    timing = Timing(inference_batch_size=2)
    _, measured = run_digits_trial(replace(make_trial(), needs_inference_time=True, timing=timing))
    assert measured.measurement is not None
    assert measured.inference_time is not None
    assert measured.inference_time.batch_size == 2
    assert [e.train_loss for e in measured.epochs] == [e.train_loss for e in without.epochs]
    ratio = measured.inference_time.inference_time_ratio
    reward = Reward({"inference_time_ratio": -0.5})(measured)
    assert reward == pytest.approx(measured.measurement.accuracy * ratio**-0.5)


def test_reference_is_built_before_a_network_whose_step_time_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    built: list[str] = []

    def watched(who: str) -> Callable[..., TrainingStep]:
        def build(*arguments: Any, **named: Any) -> TrainingStep:
            built.append(who)
            return build_step(*arguments, **named)

        return build

    monkeypatch.setattr("trials.timing.reference_steps.build_step", watched("reference"))
    monkeypatch.setattr("trials.run_trial.build_step", watched("network"))
    known = formula_result(make_trial(), accuracy=0.5).measurement.step_time  # type: ignore[union-attr]
    trial = replace(
        make_trial(), step_time=known, needs_inference_time=True, limits={"step_time_ratio": 1e-9}
    )
    _, result = run_digits_trial(trial)
    assert (result.failure_kind, result.inference_time is not None) == ("over_limit", True)
    assert built == ["reference", "network"]


def test_scattering_inference_time_is_flagged_in_the_row() -> None:
    timing = Timing(inference_batch_size=2)
    _, measured = run_digits_trial(replace(make_trial(), needs_inference_time=True, timing=timing))
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
    assert flag_of("uncertain by 4 %", None) == "uncertain by 4 %"
    assert flag_of(None, "uncertain by 5 %") == "inference: uncertain by 5 %"
    both = "uncertain by 4 %; inference: uncertain by 5 %"
    assert flag_of("uncertain by 4 %", "uncertain by 5 %") == both


def test_a_trial_beyond_a_measured_limit_is_infeasible_before_it_trains() -> None:
    for limits in ({"step_time_ratio": 0.01}, {"inference_seconds": 1e-9}, {"inference_time_ratio": 1e-6}):
        _, result = run_digits_trial(replace(make_trial(), needs_inference_time=True, limits=limits))
        (name,) = limits
        assert (result.status, result.failure_kind) == ("infeasible", "over_limit")
        assert (result.error or "").startswith(f"{name} is ")
        assert result.params is not None
        assert result.step_time is not None
        assert result.epochs == ()
    _, within = run_digits_trial(replace(make_trial(), limits={"step_time_ratio": 1000.0}))
    assert within.status == "completed"


def test_search_measures_inference_time_where_its_reward_or_limits_need_it(
    make_config: MakeConfig, tmp_path: Path
) -> None:
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

"""Ray Tune as an executor that loses nothing, and our strategies as its search algorithm."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import MakeConfig, Nas
from executor_trials import Faulty, faulty, portable, tiny_trials
from formula import formula_worker

from nas.search.ray_searcher import StrategySearcher
from nas.search.search import search
from trials.executors.in_process import in_process
from trials.executors.ray_tune import _of_one_model, ray_tune
from trials.executors.timing_places import ANY, WrongDeviceError
from trials.log.run_reader import recorded_trials
from trials.trial import TrialResult


@pytest.fixture(scope="module", autouse=True)
def _carried(one_ray: None) -> None:
    """Lets Ray's workers load the trials of these tests, whose modules they do not have."""
    for carried in (formula_worker, Faulty, value):
        portable(carried)


def test_ray_tune_gives_the_rows_of_one_process_and_its_callbacks_see_trials(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    from ray.tune import Callback

    accuracies: list[float] = []

    class Seen(Callback):
        """What one's own logger would get."""

        def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: Any, **_: Any) -> None:
            assert "events" not in result
            accuracies.append(result["accuracy"])

        def __reduce__(self) -> Any:
            return (Seen, ())

    config = make_config(order={"fixed_lag": 1})
    tuned = search(
        config,
        tmp_path / "tune",
        execute=ray_tune(workers=1, callbacks=[Seen()]),
        start=portable(formula_worker),
    )
    plain = search(config, tmp_path / "plain", execute=in_process(device="cpu"), start=formula_worker)
    wanted = ("trial_id", "choices", "reward", "accuracy", "epochs", "status", "ask_seq", "tell_seq")
    assert [[row[name] for name in wanted] for row in tuned.rows] == [
        [row[name] for name in wanted] for row in plain.rows
    ]
    assert len(accuracies) == sum(len(row["train_loss"]) + 1 for row in tuned.rows)


@pytest.mark.nightly  # Tune takes its time to notice; ordinary workers that die are in test_ray_actors.py
def test_a_trial_whose_worker_dies_is_reported_as_lost(tmp_path: Path) -> None:
    events = list(ray_tune(workers=2)(faulty("killed", tmp_path), tiny_trials(4)))  # type: ignore[arg-type]
    results = {event.trial_id: event for event in events if isinstance(event, TrialResult)}
    assert sorted(results) == [0, 1, 2, 3]
    assert (results[1].status, results[1].failure_kind) == ("crashed", "worker_lost")
    assert [results[i].status for i in (0, 2, 3)] == ["completed"] * 3


def test_a_process_that_must_not_use_its_device_any_more_costs_no_trial_an_attempt(tmp_path: Path) -> None:
    """As after a CUDA graph that could not be captured: the next trial has another process."""
    events = list(ray_tune(workers=1)(faulty("device", tmp_path), tiny_trials(3)))  # type: ignore[arg-type]
    results = [event for event in events if isinstance(event, TrialResult)]
    assert [(result.trial_id, result.status) for result in results] == [(i, "completed") for i in range(3)]
    assert len(list(tmp_path.glob("pid-*"))) == 2


def test_a_step_time_of_another_model_of_device_ends_the_search() -> None:
    events = list(in_process(device="cpu")(formula_worker, tiny_trials(2)))
    first, other = (i for i, event in enumerate(events) if isinstance(event, TrialResult))
    result = events[other]
    assert isinstance(result, TrialResult)
    assert result.measurement is not None
    step_time = replace(result.measurement.step_time, device="another model")
    events[other] = replace(result, measurement=replace(result.measurement, step_time=step_time))
    with pytest.raises(WrongDeviceError, match="another model"):
        list(_of_one_model(iter(events), None))
    assert list(_of_one_model(iter(events), ANY)) == events
    assert list(_of_one_model(iter(events[: first + 1]), None)) == events[: first + 1]


def test_the_command_searches_through_ray_tune(nas: Nas, digits_search_file: Path, tmp_path: Path) -> None:
    words = ("--workers", 1, "--set", "budget.trials=2", "--set", "baseline=1", "--json")
    code, out, err = nas("search", digits_search_file, "--run", "run", "--executor", "ray_tune", *words)
    assert code == 0, err
    assert "1 worker of Ray Tune" in err
    assert json.loads(out)["trials"] == 2
    assert sorted(row["status"] for row in recorded_trials(tmp_path / "run")) == ["completed"] * 2


def test_exception_of_the_search_ends_ray_tune(tmp_path: Path) -> None:
    def asked() -> Iterator[Any]:
        yield from tiny_trials(2)
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        list(ray_tune(workers=1)(formula_worker, asked()))


# ---------------------------------------------------------------------- strategies in Tune

OPTIONS = {"width": [16, 32, 64], "depth": [1, 2, 3, 4], "act": ["relu", "silu"]}


def value(config: dict[str, Any]) -> float:
    return float(config["width"] / 16 + config["depth"] + (config["act"] == "silu"))


@pytest.mark.parametrize("mode", ["max", "min"])
def test_strategy_searches_for_a_trainable_of_ray_tunes_user(mode: str, tmp_path: Path) -> None:
    from ray import tune

    searcher = StrategySearcher(
        OPTIONS,
        "evolution",
        metric="score",
        mode=mode,
        population=4,
        tournament=2,  # type: ignore[arg-type]
    )
    results = tune.Tuner(
        lambda config: tune.report({"score": value(config)}),
        tune_config=tune.TuneConfig(
            search_alg=searcher, num_samples=16, max_concurrent_trials=1, reuse_actors=True
        ),
        run_config=tune.RunConfig(storage_path=str(tmp_path), verbose=0),
    ).fit()
    found = [result.metrics["score"] for result in results]
    assert len(found) == 16
    assert len({json.dumps(result.config) for result in results}) > 10
    assert (max(found) if mode == "max" else -min(found)) >= (7 if mode == "max" else -3)


def suggestions(searcher: StrategySearcher, names: list[str]) -> list[dict[str, Any]]:
    found = []
    for name in names:
        found.append(searcher.suggest(name))
        searcher.on_trial_complete(name, {"score": value(found[-1])})
    return found


@pytest.mark.parametrize("strategy", ["random_search", "evolution", "policy_gradient"])
def test_a_restored_searcher_goes_on_as_it_would_have(strategy: str, tmp_path: Path) -> None:
    whole = StrategySearcher(OPTIONS, strategy, metric="score")
    names = [f"t{i}" for i in range(30)]
    expected = suggestions(whole, names)
    first = StrategySearcher(OPTIONS, strategy, metric="score")
    suggestions(first, names[:17])
    first.save(str(tmp_path / "searcher.json"))
    again = StrategySearcher(OPTIONS, strategy, metric="score")
    again.restore(str(tmp_path / "searcher.json"))
    assert suggestions(again, names[17:]) == expected[17:]


def test_searcher_learns_nothing_from_failed_and_unfinished_trials(tmp_path: Path) -> None:
    searcher = StrategySearcher(OPTIONS, "evolution", metric="score", population=2, tournament=1)
    searcher.suggest("a")
    searcher.on_trial_complete("a", {"score": float("nan")})
    searcher.suggest("b")
    searcher.on_trial_complete("b", None, error=True)
    searcher.suggest("c")
    searcher.save(str(tmp_path / "s.json"))
    searcher.restore(str(tmp_path / "s.json"))
    told = [entry for entry in json.loads((tmp_path / "s.json").read_text()) if entry["kind"] == "tell"]
    assert [entry["reward"] for entry in told] == [None, None]
    assert np.isfinite(value(searcher.suggest("d")))


def test_searcher_without_options_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one value"):
        StrategySearcher({"width": []}, metric="score")

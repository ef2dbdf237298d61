"""Whether a search has ended, and what it has still to do, by its run directory alone."""

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from conftest import MakeConfig
from formula import formula_worker, lucky
from formula_searches import run_search, run_until
from screens import screen_text
from small_spaces import EIGHT
from synthetic_run import write_rows, write_run

from analysis.finalists import Repeats
from nas.results.export import exported_row
from nas.results.status import Spent, run_status
from nas.screens.status import status_screen
from nas.search.config import Finalists, SearchConfig
from nas.search.search import search
from search_spaces.settings.yaml_files import yaml_text
from trials.executors.in_process import in_process
from trials.log.store import RunStore
from trials.trial import Event, RunTrial, Slot, Trial, TrialResult

START = datetime(2026, 1, 1, tzinfo=UTC)


def rewrite(folder: Path, config: SearchConfig) -> None:
    """The run's own configuration becomes this one, as if it had been stopped while it went on by it."""
    with RunStore(folder) as store:
        store.record_identity(yaml_text(config))


def test_a_run_is_finished_when_each_finalist_has_its_repeats(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    two = make_config(finalists={"count": 2, "repeats": 2})
    run_search(make_config(), folder)
    rewrite(folder, two)
    figures = run_status(folder)
    assert figures.budget.spent == figures.budget.total
    assert figures.state == "stopped"
    assert "(continues)" in screen_text(status_screen(figures))
    run_search(two, folder)
    assert run_status(folder).state == "finished"
    for finalists in ({"count": 2, "repeats": 3}, {"count": 3, "repeats": 2}):
        rewrite(folder, make_config(finalists=finalists))
        assert run_status(folder).state == "stopped"


def test_a_budget_that_was_lowered_leaves_the_finalists_to_come(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    finalists = {"count": 2, "repeats": 2}
    run_until(make_config(finalists=finalists), folder, rows=7)
    lowered = make_config(finalists=finalists, budget={"trials": 6})
    rewrite(folder, lowered)
    figures = run_status(folder)
    assert figures.budget == Spent(unit="trials", spent=7, total=6)
    assert (figures.state, figures.repeats) == ("stopped", Repeats(ended=0, total=4, epochs=2))
    assert "7 trials, more than the budget of 6   0/4 repeats of finalists   7 completed" in " ".join(
        screen_text(status_screen(figures)).split("\n")
    )
    run_until(lowered, folder, rows=9)
    figures = run_status(folder)
    assert (figures.state, figures.repeats and figures.repeats.total) == ("stopped", 4)
    assert figures.repeats is not None
    assert 0 < figures.repeats.ended < 4
    run_search(lowered, folder)
    figures = run_status(folder)
    assert (figures.state, figures.repeats) == ("finished", Repeats(ended=4, total=4, epochs=2))
    assert "repeats of finalists" not in screen_text(status_screen(figures))


def test_a_running_search_tells_the_time_that_its_finalists_take(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    """The seventh of twelve trainings has ended, one every 10 s."""

    def start(slot: Slot) -> RunTrial:
        inner = formula_worker(slot)

        def run_trial(trial: Trial) -> Iterator[Event]:
            for event in inner(trial):
                if isinstance(event, TrialResult):
                    assert event.times is not None
                    end = START + timedelta(seconds=10 * (trial.trial_id + 1))
                    event = replace(event, times=replace(event.times, finished_at=end.isoformat()))
                yield event

        return run_trial

    folder = tmp_path / "run"
    config = make_config(finalists={"count": 2, "repeats": 3}, budget={"trials": 6})
    run_until(config, folder, rows=7, start=start)
    began = START.timestamp()
    os.utime(folder / "environment" / "0001.json", (began, began))
    with RunStore(folder):
        figures = run_status(folder, now=START + timedelta(seconds=70))
    assert (figures.state, figures.repeats) == ("running", Repeats(ended=1, total=6, epochs=2))
    assert figures.seconds_left == pytest.approx(5 * 10)
    assert "6/6 trials   1/6 repeats of finalists" in screen_text(status_screen(figures))


def test_run_with_a_larger_budget_is_finished_when_its_own_finalists_are(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    one = {"count": 1, "repeats": 1}
    run_search(make_config(finalists=one), folder)
    small = run_status(folder)
    rewrite(folder, make_config())
    run_search(make_config(budget={"trials": 40}), folder)
    larger = make_config(finalists=one, budget={"trials": 40})
    rewrite(folder, larger)
    assert run_status(folder).state == "stopped"
    run_search(larger, folder)
    figures = run_status(folder)
    assert (small.state, figures.state) == ("finished", "finished")


def test_run_is_finished_when_finalists_that_the_strategy_recommends_are(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    config = make_config(
        strategy={"name": "predictor", "initial": 8},
        reward={"params": -0.001},  # else what a network costs decides more than luck
        budget={"trials": 30},
        baseline=8,
        finalists={"count": 2, "repeats": 1},
    )
    result = search(config, tmp_path / "run", execute=in_process(device="cpu"), start=lucky)
    luckiest = max(result.rows, key=lambda row: row["reward"])
    assert luckiest["choices"] not in [row["choices"] for row in result.rows if row["purpose"] == "repeat"]
    assert run_status(tmp_path / "run").state == "finished"
    rewrite(tmp_path / "run", replace(config, finalists=Finalists(count=2, repeats=2)))
    assert run_status(tmp_path / "run").state == "stopped"


def test_lucky_repeat_is_not_the_best_trial_in_status(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    rows = write_run(folder, 60)
    lucky_one = next(row for row in rows if row["purpose"] == "repeat")
    lucky_one["reward"] = 5.0
    write_rows(folder / "trials.parquet", rows)
    best = run_status(folder).best
    assert best is not None
    assert best.trial_id == exported_row(folder, trial=None)[0]["trial_id"]
    assert best.reward < 5.0
    selected = rows[best.trial_id]
    assert (selected["choices"], selected["purpose"] != "repeat") == (lucky_one["choices"], True)


@pytest.mark.parametrize("recommended", [False, True])
def test_best_trial_in_status_is_the_one_that_the_search_chose(
    recommended: bool, make_config: MakeConfig, tmp_path: Path
) -> None:
    strategy = {"name": "predictor", "initial": 8} if recommended else {"name": "random_search"}
    config = make_config(strategy=strategy, reward={"params": -0.001}, budget={"trials": 30}, baseline=8)
    result = search(config, tmp_path / "run", execute=in_process(device="cpu"), start=lucky)
    assert result.best is not None
    assert (result.best["trial_id"] == 0) == (not recommended)
    best = run_status(tmp_path / "run").best
    assert best is not None
    assert best.trial_id == result.best["trial_id"]


@pytest.mark.parametrize(
    ("baseline", "countable"),
    [(3, True), (12, True), (3, False)],
    ids=["in the search", "in the baseline", "by the rows alone"],
)
def test_a_run_whose_space_ran_out_is_finished(
    baseline: int, countable: bool, make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not countable:
        monkeypatch.setattr("nas.search.exhaustion.MOST_COUNTED", 0)
    folder = tmp_path / "run"
    config = make_config(space=EIGHT, baseline=baseline)
    run_until(config, folder, rows=4)
    figures = run_status(folder)
    assert figures.state == "stopped"
    assert "exhausted" not in screen_text(status_screen(figures))
    run_search(config, folder)
    figures = run_status(folder)
    assert figures.budget.spent == 8
    assert figures.state == "finished"
    screen = screen_text(status_screen(figures))
    assert "the space is exhausted" in screen
    assert "(continues)" not in screen
    rewrite(folder, make_config(space=EIGHT, baseline=baseline, finalists={"count": 1, "repeats": 1}))
    assert run_status(folder).state == "stopped"

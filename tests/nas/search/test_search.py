"""The search loop on trials that compute a formula: order, durability, duplicates, failures, resume."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import MakeConfig
from formula import formula_result, formula_worker
from formula_searches import identity, run_search
from log_files import part_of
from small_spaces import EIGHT
from tiny_searches import tiny_search

from nas.events import RowWritten
from nas.search.attempts import MAX_ATTEMPTS
from nas.search.search import SearchResult, search
from nas.search.strategy_guard import SearchFailedError
from search_spaces.settings.config_error import ConfigError
from trials.executors.in_process import in_process
from trials.log.driver_lock import RunLockedError
from trials.log.store import RunStore
from trials.trial import Event, RunTrial, Slot, Trial, TrialResult


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> SearchResult:
    """The plain search, which nothing disturbs."""
    return run_search(tiny_search(), tmp_path_factory.mktemp("plain") / "run")


def test_search_spends_its_budget_of_trials_and_begins_with_the_baseline(plain: SearchResult) -> None:
    counted = [row for row in plain.rows if row["status"] == "completed"]
    assert len(counted) == 12
    purposes = [row["purpose"] for row in sorted(counted, key=lambda row: row["trial_id"])]
    assert purposes == ["baseline"] * 3 + ["search"] * 9


def test_rewards_follow_the_formula_and_the_best_is_the_highest(plain: SearchResult) -> None:
    for row in plain.rows:
        expected = row["accuracy"] * 1.5**-0.07 * (row["params"] / row["reference_params"]) ** -0.05
        assert row["reward"] == pytest.approx(expected)
    assert plain.best is not None
    assert plain.best["reward"] == max(row["reward"] for row in plain.rows)


def test_no_architecture_is_trained_twice(make_config: MakeConfig, tmp_path: Path) -> None:
    result = run_search(make_config(budget={"trials": 60}), tmp_path / "run")
    trained = [row["architecture_id"] for row in result.rows if row["status"] == "completed"]
    assert len(trained) == len(set(trained)) == 60


def test_asks_and_rows_are_durable_before_they_are_acted_on(make_config: MakeConfig, tmp_path: Path) -> None:
    folder = tmp_path / "run"

    def watching(slot: Slot) -> RunTrial:
        inner = formula_worker(slot)

        def run_trial(trial: Trial) -> Iterator[Event]:
            assert part_of(folder, "ask", trial.trial_id).is_file()
            if trial.trial_id:
                assert part_of(folder, "trial", trial.trial_id - 1).is_file()
            yield from inner(trial)

        return run_trial

    assert len(run_search(make_config(), folder, watching).rows) == 12


class Stop(Exception):
    """Stands for a driver that dies."""


@pytest.mark.parametrize("trials_before", range(1, 12, 2))
def test_resumed_search_equals_uninterrupted_search(
    make_config: MakeConfig, plain: SearchResult, tmp_path: Path, trials_before: int
) -> None:
    def dying(slot: Slot) -> RunTrial:
        inner = formula_worker(slot)

        def run_trial(trial: Trial) -> Iterator[Event]:
            if trial.trial_id == trials_before:
                raise Stop
            yield from inner(trial)

        return run_trial

    with pytest.raises(Stop):
        run_search(make_config(), tmp_path / "broken", dying)
    resumed = run_search(make_config(), tmp_path / "broken")
    assert identity(resumed) == identity(plain)
    by_id = {row["trial_id"]: row for row in resumed.rows}
    assert by_id[trials_before]["attempts"] == 2
    assert by_id[0]["attempts"] == 1


def test_a_finished_run_is_continued_to_a_larger_budget(make_config: MakeConfig, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run_search(make_config(), folder)
    longer = run_search(make_config(budget={"trials": 20}), folder)
    assert identity(longer) == identity(run_search(make_config(budget={"trials": 20}), tmp_path / "at once"))
    again = run_search(make_config(budget={"trials": 20}), folder)
    assert identity(again) == identity(longer)


def test_a_run_refuses_another_configuration_and_says_what_differs(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    run_search(make_config(), folder)
    with pytest.raises(ConfigError, match=r"seed: the run has 0, now 5"):
        run_search(make_config(seed=5), folder)
    with pytest.raises(ConfigError, match=r"reward\.params"):
        run_search(make_config(reward={"params": -0.1}), folder)


def test_two_drivers_cannot_share_a_run(make_config: MakeConfig, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run_search(make_config(), folder)
    with RunStore(folder), pytest.raises(RunLockedError):
        run_search(make_config(budget={"trials": 13}), folder)


def failing(slot: Slot, *, ids: set[int], kind: str, attempts: int = 99) -> RunTrial:
    inner = formula_worker(slot)

    def run_trial(trial: Trial) -> Iterator[Event]:
        if trial.trial_id not in ids or trial.attempt > attempts:
            yield from inner(trial)
            return
        status = "crashed" if kind in ("bug", "worker_lost") else "infeasible"
        yield TrialResult(trial=trial, status=status, failure_kind=kind, error="said so")  # type: ignore[arg-type]

    return run_trial


def test_infeasible_trials_count_and_have_reward_zero(make_config: MakeConfig, tmp_path: Path) -> None:
    result = run_search(
        make_config(), tmp_path / "run", lambda slot: failing(slot, ids={4}, kind="out_of_memory")
    )
    row = next(row for row in result.rows if row["trial_id"] == 4)
    assert (row["status"], row["failure_kind"], row["reward"]) == ("infeasible", "out_of_memory", 0.0)
    assert len(result.rows) == 12


def test_a_lost_worker_costs_an_attempt_but_no_trial(
    make_config: MakeConfig, plain: SearchResult, tmp_path: Path
) -> None:
    start = lambda slot: failing(slot, ids={2}, kind="worker_lost", attempts=1)  # noqa: E731
    result = run_search(make_config(), tmp_path / "run", start)
    row = next(row for row in result.rows if row["trial_id"] == 2)
    assert (row["status"], row["attempts"]) == ("completed", 2)
    assert identity(result) == identity(plain)


def test_a_trial_that_always_loses_its_worker_crashes_and_is_replaced(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    result = run_search(
        make_config(), tmp_path / "run", lambda slot: failing(slot, ids={2}, kind="worker_lost")
    )
    row = next(row for row in result.rows if row["trial_id"] == 2)
    assert (row["status"], row["attempts"], row["reward"]) == ("crashed", MAX_ATTEMPTS, None)
    assert sum(row["status"] == "completed" for row in result.rows) == 12


def test_bug_stops_the_search_with_its_words_and_the_run_can_be_continued(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    with pytest.raises(SearchFailedError, match="said so"):
        run_search(make_config(), folder, lambda slot: failing(slot, ids={5, 6, 7}, kind="bug"))
    assert sum(row["status"] == "completed" for row in run_search(make_config(), folder).rows) == 12


def test_a_search_ends_when_the_space_runs_out(make_config: MakeConfig, tmp_path: Path) -> None:
    result = run_search(make_config(space=EIGHT), tmp_path / "run")
    assert result.exhausted
    assert len({row["architecture_id"] for row in result.rows if row["status"] == "completed"}) == 8


def test_a_search_whose_space_ran_out_asks_for_nothing_more_when_it_is_continued(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    folder, config = tmp_path / "run", make_config(space=EIGHT)
    ended = run_search(config, folder)
    assert ended.exhausted
    assert ended.rows[-1]["status"] == "cached"
    again = run_search(config, folder)
    assert again.exhausted
    assert len(again.rows) == len(ended.rows)


def test_duplicates_in_a_row_are_counted_across_a_restart(make_config: MakeConfig, tmp_path: Path) -> None:
    config = make_config(space=EIGHT)
    whole = run_search(config, tmp_path / "whole")
    ended = 0

    def kill(news: object) -> None:
        nonlocal ended
        ended += isinstance(news, RowWritten)
        if ended >= len(whole.rows) - 20:
            raise Stop

    with pytest.raises(Stop):
        search(
            config,
            tmp_path / "run",
            execute=in_process(device="cpu"),
            start=formula_worker,
            on_event=kill,
        )
    assert identity(run_search(config, tmp_path / "run")) == identity(whole)


def test_search_refuses_a_foreign_folder_and_leaves_it_alone(make_config: MakeConfig, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear all")
    with pytest.raises(ConfigError, match=str(tmp_path)):
        run_search(make_config(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_search_whose_workers_do_not_start_leaves_no_run_behind(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    def no_workers(slot: Slot) -> RunTrial:
        raise Stop

    with pytest.raises(Stop):
        run_search(make_config(), tmp_path / "run", no_workers)
    assert not (tmp_path / "run").exists()


def test_results_of_an_earlier_attempt_are_ignored(
    make_config: MakeConfig, plain: SearchResult, tmp_path: Path
) -> None:
    """A worker believed lost may still report; only the current attempt's result counts."""

    def late(slot: Slot) -> RunTrial:
        inner = formula_worker(slot)

        def run_trial(trial: Trial) -> Iterator[Event]:
            if trial.attempt == 1 and trial.trial_id == 3:
                yield TrialResult(trial=trial, status="crashed", failure_kind="worker_lost", error="gone")
                return
            if trial.trial_id == 3:
                yield formula_result(replace(trial, attempt=1), accuracy=0.001)
            yield from inner(trial)

        return run_trial

    result = run_search(make_config(), tmp_path / "run", late)
    assert identity(result) == identity(plain)

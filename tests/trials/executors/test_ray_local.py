"""A local Ray that dies: it is started again, trials in flight have lost their workers; or it is given up."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import MakeConfig
from executor_trials import portable, tiny_trials
from formula import formula_worker

from nas.cli import _exit_code
from nas.commands.exit_codes import EXIT_FAILED
from nas.commands.launch import continuable
from nas.events import Retried
from nas.search.search import search
from nas.training.ray_training import _Run
from trials.executors import ray_actors as ray_actors_file
from trials.executors import ray_pool
from trials.executors.ray_actors import Connection, ray_actors
from trials.executors.ray_guard import MARK
from trials.executors.ray_local import FRUITLESS_DEATHS, LocalRay, RayLostError, ServerEndedError
from trials.executors.ray_pool import Pool
from trials.executors.ray_tune import _TuneThread
from trials.log.store import RunStore
from trials.trial import Event, Execute, Notice, Progress, RunTrial, Slot, StartWorker, Trial, TrialResult

KILLED = "its raylet was killed (SIGKILL)"
SLOTS = [Slot(index=0), Slot(index=1)]


class Staged(LocalRay):
    """A local Ray that starts nothing, and is dead when the test says so.

    Attributes:
        dead: why; None while it lives.
        starts: how often it was started; those in `failing` fail.
    """

    def __init__(self, failing: frozenset[int] = frozenset()) -> None:
        super().__init__(workers=2, gpus=0)
        self.dead: str | None = None
        self.starts = 0
        self.failing = failing

    def start(self) -> None:
        self.starts += 1
        if self.starts in self.failing:
            raise RayLostError("no memory")
        self.dead = None

    def death(self, *, within: float = 0.0) -> str | None:
        return self.dead

    def _stop(self) -> None:
        pass


# ---------------------------------------------------------------------- the rules, without Ray


def test_ray_is_given_up_after_deaths_without_a_trial_in_between() -> None:
    local = Staged()
    for _ in range(FRUITLESS_DEATHS - 1):
        local.died(KILLED)
        local.start_again()
    local.trial_ended()
    for _ in range(FRUITLESS_DEATHS - 1):
        local.died(KILLED)
        local.start_again()
    with pytest.raises(RayLostError, match=rf"died 3 times without a trial .*the last time: {KILLED[:10]}"):
        local.died(KILLED)
    assert local.starts == 2 * (FRUITLESS_DEATHS - 1)


def test_a_start_that_fails_counts_as_a_death() -> None:
    local = Staged(failing=frozenset({1}))
    local.died(KILLED)
    local.start_again()
    assert local.starts == 2
    local = Staged(failing=frozenset({1, 2}))
    local.died(KILLED)
    with pytest.raises(RayLostError, match=r"died 3 times .*it did not start again \(no memory\)"):
        local.start_again()


class Starting(Staged):
    """A local Ray of which a server is killed during its first starts, `killed` of them."""

    def __init__(self, killed: int) -> None:
        super().__init__()
        self._killed = killed

    def start(self) -> None:
        super().start()
        if self.starts <= self._killed:
            raise ServerEndedError("its gcs_server ended while it started")


def test_a_server_that_is_killed_while_ray_starts_is_one_of_the_deaths() -> None:
    local = Starting(killed=FRUITLESS_DEATHS - 1)
    assert local.begin() == ["its gcs_server ended while it started"] * (FRUITLESS_DEATHS - 1)
    with pytest.raises(RayLostError, match=r"died 3 times without a trial .*the last time: its raylet"):
        local.died(KILLED)
    with pytest.raises(RayLostError, match=r"died 3 times .*the last time: its gcs_server ended while it st"):
        Starting(killed=FRUITLESS_DEATHS).begin()


def test_a_start_that_fails_with_all_servers_alive_is_not_tried_again() -> None:
    local = Staged(failing=frozenset({1}))
    with pytest.raises(RayLostError, match="no memory"):
        local.begin()
    assert local.starts == 1


class StagedPool(Pool):
    """A pool whose workers are no actors: trials run in this process; Ray dies where `dies` says so."""

    def __init__(self, start_worker: StartWorker, local: Staged, dies: Callable[[Trial], bool]) -> None:
        self._run_trial, self._dies = start_worker(SLOTS[0]), dies
        super().__init__(start_worker, SLOTS, local=local)

    def _started(self, slot: Slot, failed_starts: int = 0) -> Any:
        return SimpleNamespace(slot=slot, trial=None, is_over=False, info=None)

    def _first_workers(self, places: Any) -> Iterator[Event]:
        yield from ()

    def _until_done(self, places: Any) -> Iterator[Event]:
        assert isinstance(self._local, Staged)
        while (trial := places.next_for(0)) is not None:
            member: Any = self._members[0]
            member.trial, member.is_over = trial, False
            for event in self._run_trial(trial):
                if self._dies(trial) and not isinstance(event, Progress):
                    self._local.dead = KILLED
                    raise ConnectionError("the socket is closed")
                yield event  # type: ignore[misc]
            member.is_over = True
            self._local.trial_ended()


def staged(local: Staged, dies: Callable[[Trial], bool]) -> Execute:
    """An executor on such a pool."""

    def execute(start_worker: StartWorker, trials: Any) -> Iterator[Event]:
        return StagedPool(start_worker, local, dies).events(trials)

    return execute


def test_search_goes_on_to_its_budget_and_says_that_ray_was_started_again(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    local, events = Staged(), list[object]()
    result = search(
        make_config(),
        tmp_path / "run",
        execute=staged(local, lambda trial: trial.trial_id in (3, 5) and trial.attempt <= 2),
        start=formula_worker,
        on_event=events.append,  # type: ignore[arg-type]
    )
    assert sorted(row["trial_id"] for row in result.rows) == list(range(12))
    assert {row["status"] for row in result.rows} == {"completed"}
    assert [row["trial_id"] for row in result.rows if row["attempts"] == 3] == [3, 5]
    assert local.starts == 4
    (said, *_) = (event.text for event in events if isinstance(event, Notice))
    assert said == f"the local Ray has died: {KILLED}; it is started again, and so are trials in flight"
    assert sum(isinstance(event, Retried) for event in events) == 4


def test_trial_in_flight_at_the_last_death_is_not_given_up(make_config: MakeConfig, tmp_path: Path) -> None:
    run = tmp_path / "run"
    dying = staged(Staged(), lambda trial: trial.trial_id == 3)
    with pytest.raises(RayLostError, match="died 3 times") as raised, continuable(run):
        search(make_config(), run, execute=dying, start=formula_worker)
    assert str(raised.value).endswith(f"this continues:\n  nas search {run}/search.yaml --run {run}")
    assert _exit_code(raised.value) == EXIT_FAILED
    with RunStore(run) as store:
        assert [row["trial_id"] for row in store.in_flight()] == [3]
    healthy = search(make_config(), run, execute=staged(Staged(), lambda trial: False), start=formula_worker)
    assert {row["status"] for row in healthy.rows} == {"completed"}


def test_a_trial_that_has_ended_is_not_lost_with_ray() -> None:
    local = Staged()
    pool = StagedPool(formula_worker, local, lambda trial: False)
    for member, trial in zip(pool._members.values(), tiny_trials(2), strict=True):
        member.trial = trial
    pool._members[1].is_over = True
    notice, lost = pool._start_ray_again(KILLED, SimpleNamespace(leave=id, ended=id))  # type: ignore[arg-type]
    assert isinstance(notice, Notice)
    assert isinstance(lost, TrialResult)
    assert (lost.trial_id, lost.failure_kind) == (0, "worker_lost")
    assert (
        lost.error == f"worker 0 on an unknown host died while it ran trial 0: the local Ray died: {KILLED}"
    )


def test_an_error_of_the_search_is_not_taken_for_one_of_ray() -> None:
    local = Staged()

    def given() -> Iterator[Trial]:
        local.dead = KILLED
        raise ValueError("the strategy is at fault")
        yield

    with pytest.raises(ValueError, match="the strategy is at fault"):
        list(StagedPool(formula_worker, local, lambda trial: False).events(given()))
    assert local.starts == 0


def test_waiting_for_nodes_says_for_how_long(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 1000.0
    monkeypatch.setattr(ray_pool, "time", SimpleNamespace(monotonic=lambda: clock))
    pool = StagedPool(formula_worker, Staged(), lambda trial: False)
    pool._local = None
    said = []
    for _ in range(3):
        clock += 61.0
        said += [event.text for event in pool._start_on_new_slots() if isinstance(event, Notice)]
    waits = "no worker has been there to run trials for {} min; waiting for a node to join, or to come back"
    assert said == [waits.format(minutes) for minutes in (1, 2, 3)]


def test_ray_tune_and_trainings_end_with_a_local_ray(tmp_path: Path) -> None:
    local = Staged()
    tune = _TuneThread(formula_worker, Connection(SLOTS, local=local), (), tmp_path)
    training = _Run.__new__(_Run)
    training._local, training._folder = local, tmp_path
    training._check_ray()
    local.dead = KILLED
    with pytest.raises(RayLostError, match="the local Ray has died: its raylet was killed"):
        tune._next()
    with pytest.raises(RayLostError, match=f"What is done is in {tmp_path}: the same command goes on"):
        training._check_ray()


# ---------------------------------------------------------------------- with Ray


def slow_worker(slot: Slot) -> RunTrial:
    inner = formula_worker(slot)

    def run_trial(trial: Trial) -> Iterator[Event]:
        import time

        yield Progress(trial_id=trial.trial_id, attempt=trial.attempt, phase="building")
        time.sleep(1.0)
        yield from inner(trial)  # type: ignore[misc]

    return run_trial


@pytest.mark.nightly
@pytest.mark.timeout(600)
def test_raylet_and_gcs_server_are_killed_and_the_search_goes_on(
    make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each server of a local Ray is killed once: the first at trial 2, the other at trial 6."""
    from ray._private import worker

    portable(formula_worker)
    monkeypatch.setattr(ray_actors_file, "available_slots", lambda: SLOTS)
    kills = {2: "raylet", 6: "gcs_server"}
    notices: list[str] = []

    def on_event(event: object) -> None:
        if isinstance(event, Notice):
            notices.append(event.text)
        if isinstance(event, Progress) and (server := kills.pop(event.trial_id, None)):
            (process,) = worker._global_node.all_processes[server]  # type: ignore[attr-defined]
            os.kill(process.process.pid, signal.SIGKILL)

    result = search(
        make_config(),
        tmp_path / "run",
        execute=ray_actors(workers=2),
        start=portable(slow_worker),
        on_event=on_event,
    )
    assert [text.partition(";")[0] for text in notices] == [
        "the local Ray has died: its raylet was killed (SIGKILL)",
        "the local Ray has died: its gcs_server was killed (SIGKILL)",
    ]
    assert sorted(row["trial_id"] for row in result.rows) == list(range(12))
    assert {row["status"] for row in result.rows} == {"completed"}
    assert max(row["attempts"] or 1 for row in result.rows) >= 2
    assert MARK not in os.environ

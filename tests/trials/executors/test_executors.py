"""Executors are exchangeable: the same trials give the same rows, and a dead worker is a crashed trial."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import MakeConfig
from executor_trials import portable
from formula import formula_worker

from nas.search.search import search
from trials.devices.device import available_slots
from trials.executors.in_process import in_process
from trials.executors.ray_actors import _local_slots, ray_actors
from trials.executors.ray_pool import WorkersError
from trials.trial import Event, Execute, Notice, RunTrial, Slot, Trial, TrialResult, WorkerJoined

pytestmark = pytest.mark.usefixtures("one_ray")

EXECUTORS: dict[str, Execute] = {
    "in_process": in_process(device="cpu"),
    "ray_actors": ray_actors(workers=1),
}


def test_executors_give_the_same_rows_of_a_search(make_config: MakeConfig, tmp_path: Path) -> None:
    rows = {}
    for name, execute in EXECUTORS.items():
        result = search(make_config(), tmp_path / name, execute=execute, start=portable(formula_worker))
        rows[name] = [
            {key: value for key, value in row.items() if key not in ("asked_at", "environment_id")}
            for row in sorted(result.rows, key=lambda row: row["trial_id"])
        ]
    assert rows["in_process"] == rows["ray_actors"]
    assert len(rows["in_process"]) == 12


def test_two_workers_run_at_once_and_every_trial_counts_once(make_config: MakeConfig, tmp_path: Path) -> None:
    result = search(
        make_config(), tmp_path / "run", execute=ray_actors(workers=2), start=portable(formula_worker)
    )
    assert sorted(row["trial_id"] for row in result.rows) == list(range(12))
    assert sorted(row["tell_seq"] for row in result.rows)[-1] == 23


def dying_worker(slot: Slot) -> RunTrial:
    inner = formula_worker(slot)

    def run_trial(trial: Trial) -> Iterator[Event]:
        if trial.trial_id == 3 and trial.attempt == 1:
            os._exit(9)
        yield from inner(trial)

    return run_trial


def test_a_worker_that_dies_is_replaced_and_its_trial_runs_again(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    result = search(
        make_config(), tmp_path / "run", execute=ray_actors(workers=2), start=portable(dying_worker)
    )
    rows = {row["trial_id"]: row for row in result.rows}
    assert (rows[3]["status"], rows[3]["attempts"]) == ("completed", 2)
    assert len(rows) == 12


def raising_worker(slot: Slot) -> RunTrial:
    def run_trial(trial: Trial) -> Iterator[Event]:
        raise KeyError("no such thing")
        yield

    return run_trial


def test_exception_in_a_worker_is_recorded_as_a_bug_with_its_words(make_config: MakeConfig) -> None:
    trial = Trial(
        trial_id=0,
        choices=(),
        architecture=make_config().space.reference,
        recipe=make_config().recipe,
        epochs=1,
        seed=0,
    )
    _, event = ray_actors(workers=1)(portable(raising_worker), [trial])
    assert isinstance(event, TrialResult)
    assert (event.status, event.failure_kind) == ("crashed", "bug")
    assert "no such thing" in (event.error or "")


def broken_worker(slot: Slot) -> RunTrial:
    raise OSError("the images are gone")


def test_a_worker_that_cannot_start_ends_the_search_and_leaves_nothing(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    with pytest.raises(WorkersError, match="the images are gone"):
        search(make_config(), tmp_path / "run", execute=ray_actors(workers=1), start=portable(broken_worker))


def test_cluster_with_fewer_slots_than_workers_begins_with_those_there_are() -> None:
    first, *joined = ray_actors(workers=3)(portable(formula_worker), [])
    assert isinstance(first, Notice)
    assert "2 of 3 workers can start now" in first.text
    assert [type(event) for event in joined] == [WorkerJoined] * 2


def test_workers_that_share_devices_are_spread_over_all_of_them_first() -> None:
    devices = available_slots()
    slots = _local_slots(None, 2)
    assert [slot.index for slot in slots] == list(range(2 * len(devices)))
    assert [slot.core for slot in slots] == [slot.core for slot in devices] * 2
    assert [slot.core for slot in _local_slots(len(devices), 2)] == [slot.core for slot in devices]
    with pytest.raises(WorkersError, match=r"each worker takes 1/2 of one"):
        _local_slots(2 * len(devices) + 1, 2)

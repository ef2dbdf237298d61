"""Step time counts on one model of device, trials train on all: routing, refusals, one row as if whole."""

import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from executor_trials import portable, tiny_trials
from formula import formula_result, formula_worker

from nas.cli import main
from search_spaces.choices.space import SearchSpace
from search_spaces.settings.yaml_files import read_yaml
from trials.executors.ray_actors import ray_actors
from trials.executors.timing_places import ANY, TimingPlaces, WrongDeviceError, check_devices
from trials.images.config import DataConfig
from trials.run_trial import WorkerSetup, start_worker
from trials.trial import Event, RunTrial, Slot, TimingPart, Trial, TrialResult, TrialTimes

FAST, SLOW = "fast model", "slow model"


def places_of(asked: list[Trial], names: dict[int, str], counts: str | None) -> TimingPlaces:
    """With these workers."""
    places = TimingPlaces(asked, counts)
    assert [places.join(worker, name) for worker, name in names.items()] == [None] * len(names)
    return places


def timing_part(trial: Trial) -> TimingPart:
    """What a worker says of a trial's times."""
    measured = formula_result(trial, accuracy=0.5).measurement
    assert measured is not None
    now = "2026-01-01T00:00:00+00:00"
    return TimingPart(
        trial=trial,
        step_time=replace(measured.step_time, device=FAST),
        inference_time=None,
        times=TrialTimes(started_at=now, finished_at=now, timing_seconds=3.0),
    )


def test_workers_on_alike_devices_take_whole_trials_in_order() -> None:
    places = places_of(tiny_trials(3), {0: FAST, 1: FAST}, None)
    assert places.are_alike
    assert [places.next_for(i % 2) for i in range(3)] == tiny_trials(3)
    assert places.next_for(0) is None
    assert places.is_done


def test_workers_on_other_devices_train_what_was_timed_where_it_counts() -> None:
    places = places_of(tiny_trials(6), {0: FAST, 1: SLOW, 2: SLOW}, FAST)
    assert places.next_for(1) is None  # nothing is timed yet, but two trials are drawn
    assert places.next_for(2) is None
    first = places.next_for(0)
    assert first is not None
    assert (first.trial_id, first.is_timing_part) == (0, True)
    places.timed(timing_part(first))
    rest = places.next_for(1)
    assert rest is not None
    assert rest.step_time is not None
    assert (rest.trial_id, rest.is_timing_part, rest.step_time.device) == (0, False, FAST)
    second = places.next_for(0)
    assert second is not None
    assert (second.trial_id, second.is_timing_part) == (1, True)
    places.ended(second)  # infeasible: there is no rest of it
    assert places.next_for(2) is None
    third, fourth = places.next_for(0), None
    assert third is not None
    places.timed(timing_part(third))
    fourth = places.next_for(0)
    assert fourth is not None
    places.timed(timing_part(fourth))
    whole = places.next_for(0)  # one waits for each of the others: the timing worker trains, too
    assert whole is not None
    assert (whole.trial_id, whole.is_timing_part) == (4, False)


def test_trials_with_predicted_step_times_run_on_any_worker() -> None:
    given = timing_part(tiny_trials(1)[0]).step_time
    places = places_of(tiny_trials(2, step_time=given), {0: SLOW}, ANY)
    assert places.next_for(0) == tiny_trials(2, step_time=given)[0]


def test_worker_that_joins_later_on_another_device_is_refused() -> None:
    places = places_of(tiny_trials(2), {0: FAST}, None)
    refusal = places.join(1, SLOW)
    assert refusal is not None
    assert "its device is a slow model, and step time is measured on fast model" in refusal
    assert places.join(2, FAST) is None
    assert places.join(3, None) is None
    assert places.are_alike


def test_timed_trials_of_workers_that_are_gone_train_where_they_were_timed() -> None:
    places = places_of(tiny_trials(1), {0: FAST, 1: SLOW}, FAST)
    part = places.next_for(0)
    assert part is not None
    places.timed(timing_part(part))
    places.leave(1)
    assert not places.is_done
    rest = places.next_for(0)
    assert rest is not None
    assert rest.step_time is not None
    assert places.next_for(0) is None
    assert places.is_done


def test_devices_whose_step_times_do_not_count_are_refused() -> None:
    with pytest.raises(
        WrongDeviceError, match=r"several models: 1 x fast model, 2 x slow model.*timing\.device"
    ):
        check_devices([FAST, SLOW, SLOW], None)
    with pytest.raises(WrongDeviceError, match=r"counts on 'new model', and no worker's device is one"):
        check_devices([FAST, SLOW], "new model")
    check_devices([FAST, SLOW], SLOW)
    check_devices([FAST, SLOW], ANY)
    check_devices([None, FAST], FAST)  # one that does not tell
    check_devices([None], FAST)


class _OfModel:
    """A worker on a device of some model: the formula's trials, or their timing part.

    Formula trials take no time, so the slow worker alone could train all: it waits until the fast one has
    trained a whole trial, which `whole` marks.
    """

    def __init__(self, whole: Path, slot: Slot) -> None:
        self.device_name = FAST if slot.index == 0 else SLOW
        self._whole = whole
        self._run: RunTrial = formula_worker(slot)

    def __call__(self, trial: Trial) -> Iterator[Event | TimingPart]:
        if trial.is_timing_part:
            assert self.device_name == FAST
            yield timing_part(trial)
            return
        assert trial.step_time is not None or self.device_name == FAST
        if self.device_name == FAST:
            self._whole.touch()
        deadline = time.monotonic() + 600  # never: the fast one trains
        while not self._whole.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        yield from self._run(trial)


@pytest.mark.usefixtures("one_ray")
def test_workers_of_two_models_share_a_search(tmp_path: Path) -> None:
    portable(formula_worker)
    asked = tiny_trials(8)
    start = partial(portable(_OfModel), tmp_path / "whole")
    events = list(ray_actors(workers=2, timing_device=FAST)(start, asked))
    results = [event for event in events if isinstance(event, TrialResult)]
    assert sorted(result.trial_id for result in results) == list(range(8))
    assert not any(isinstance(event, TimingPart) for event in events)
    elsewhere = [result for result in results if result.trial.timed is not None]
    assert 0 < len(elsewhere) < 8


@pytest.mark.usefixtures("one_ray")
def test_workers_of_two_models_are_refused_before_anything_is_asked(tmp_path: Path) -> None:
    portable(formula_worker)
    start = partial(portable(_OfModel), tmp_path / "whole")
    drawn: list[int] = []

    def asked() -> Iterator[Trial]:
        for trial in tiny_trials(2):
            drawn.append(trial.trial_id)
            yield trial

    with pytest.raises(WrongDeviceError, match="several models"):
        list(ray_actors(workers=2)(start, asked()))
    assert not drawn


def test_a_trial_in_two_parts_trains_as_the_whole(tmp_path: Path) -> None:
    space = read_yaml(SearchSpace, "tiny")
    setup = WorkerSetup(
        data=DataConfig(source="digits", fraction=0.3), reference=space.reference, locks=tmp_path
    )
    run_trial = partial(start_worker, setup=setup)(Slot(index=0))
    (trial,) = tiny_trials(1)
    *_, whole = run_trial(trial)
    *_, part = run_trial(replace(trial, is_timing_part=True))
    assert isinstance(whole, TrialResult)
    assert isinstance(part, TimingPart)
    assert part.times.train_seconds == 0 < part.times.timing_seconds
    *_, rest = run_trial(part.rest)
    assert isinstance(rest, TrialResult)
    assert rest.step_time == part.step_time
    assert [epoch.train_loss for epoch in rest.epochs] == [epoch.train_loss for epoch in whole.epochs]
    assert rest.times is not None
    assert rest.times.timing_seconds == part.times.timing_seconds
    assert rest.times.build_seconds > part.times.build_seconds
    assert rest.times.started_at == part.times.started_at


def test_search_whose_timing_device_is_not_there_is_refused(
    digits_search_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    arguments = ["search", str(digits_search_file), "--run", str(run), "--set", "timing.device=Cray-1"]
    with pytest.raises(SystemExit) as ended:
        _main(arguments)
    assert ended.value.code == 2
    assert "step time counts on 'Cray-1', and no worker's device is one (there are" in capsys.readouterr().err
    assert not run.exists()


def _main(arguments: list[str]) -> None:
    import sys

    before, sys.argv = sys.argv, ["nas", *arguments]
    try:
        main()
    finally:
        sys.argv = before

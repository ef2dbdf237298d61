"""Step time counts on one model of device, trials train on all: routing, refusals, one row as if whole."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from executor_trials import FAST, SLOW, timing_part, tiny_trials

from search_spaces.choices.space import SearchSpace
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.yaml_files import read_yaml
from trials.executors.timing_places import (
    ANY,
    TimingPlaces,
    WrongDeviceError,
    check_devices,
    compared,
)
from trials.images.config import DataConfig
from trials.recipe import Precision
from trials.run_trial import start_worker
from trials.timing.precision import ChosenPrecision
from trials.trial import Slot, TimingPart, Trial, TrialResult, WorkerInfo
from trials.worker_setup import WorkerSetup

GPU = torch.device("cuda:0")


def places_of(asked: list[Trial], names: dict[int, str], counts: str | None) -> TimingPlaces:
    """With these workers."""
    places = TimingPlaces(asked, counts)
    assert [places.join(worker, name) for worker, name in names.items()] == [None] * len(names)
    return places


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


# ---------------------------------------------------------------------- one precision, decided by workers


def worker_on(model: str, precision: str | None) -> WorkerInfo:
    return WorkerInfo(device_name=model, host="h", pid=1, node_id="n", precision=precision, versions={})


def test_gpus_of_several_models_are_said_and_where_step_time_counts() -> None:
    workers = [worker_on("H200", "bf16"), worker_on("A100", "bf16"), worker_on("A100", "bf16")]
    said = "workers are on several models: 2 x A100, 1 x H200; "
    assert compared(workers, "H200") == f"{said}step time is measured on H200 alone"
    assert compared(workers, ANY) == f"{said}step times are predicted"
    assert compared(workers[1:], None) is None
    with pytest.raises(WrongDeviceError, match="of several models"):
        compared(workers, None)


@pytest.mark.parametrize("counts", ["H200", ANY])
def test_gpus_that_would_train_in_several_precisions_are_refused(counts: str) -> None:
    """The driver may have no GPU: then each worker decides what `auto` means."""
    workers = [worker_on("H200", "bf16"), worker_on("T4", "fp16"), worker_on("T4", "fp16")]
    with pytest.raises(
        WrongDeviceError, match=r"bf16 on 1 x H200, fp16 on 2 x T4\. Say one .* recipe\.precision=fp16"
    ):
        compared(workers, counts)
    compared([worker_on("H200", "fp16"), worker_on("T4", "fp16")], counts)
    compared([worker_on("a CPU", None), worker_on("another", None)], ANY)


def test_worker_that_joins_later_and_trains_in_another_precision_is_refused() -> None:
    places = TimingPlaces(tiny_trials(2), ANY)
    assert places.join(0, "H200", "bf16") is None
    assert "a T4, trains in fp16, and the other workers in bf16" in (places.join(1, "T4", "fp16") or "")
    assert places.join(2, "A100", "bf16") is None
    assert places.join(3, "a CPU", None) is None


@pytest.mark.parametrize(
    ("asked", "decided", "told"),
    [
        (("auto", "auto"), None, "fp16"),
        (("fp32", "auto"), None, "fp32"),
        (("auto", "auto"), ChosenPrecision("fp32", "as the run was begun"), "fp32"),
        ((), None, "fp16"),
    ],
)
def test_a_worker_tells_the_precision_in_which_its_gpu_trains(
    asked: tuple[Precision, ...],
    decided: ChosenPrecision | None,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    setup = setup_on_a_t4(monkeypatch, precisions=asked, decided=decided)
    setup.check_precisions(GPU)
    assert setup.gpu_precision(GPU) == told
    assert setup.gpu_precision(torch.device("cpu")) is None


def test_a_worker_does_not_start_where_its_gpu_has_not_the_runs_precision(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A run that was begun in bf16: each of its trials would crash there."""
    begun = ChosenPrecision("bf16", "as the run was begun")
    setup = setup_on_a_t4(monkeypatch, precisions=("auto", "auto"), decided=begun)
    with pytest.raises(ConfigError, match="bf16 needs sm_80 or later, and T4 is sm_75; use fp16"):
        setup.check_precisions(GPU)
    setup.check_precisions(torch.device("cpu"))
    of_gpus = replace(setup, decided=ChosenPrecision("fp16", "sm_75", device_type="cuda"))
    of_gpus.check_precisions(torch.device("cpu"))  # there a probe decides


def setup_on_a_t4(monkeypatch: pytest.MonkeyPatch, **changed: Any) -> WorkerSetup:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "T4")
    reference = read_yaml(SearchSpace, "tiny").reference
    return WorkerSetup(data=DataConfig(source="digits"), reference=reference, **changed)

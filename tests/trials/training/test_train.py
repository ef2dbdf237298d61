"""The training loop and step on real digits: the first loss, memorising, seeds, faults, step time."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from clocks import passes_that_take
from small_networks import SMALL, WIDE
from small_trials import CPU, DIGITS, RECIPE, digits, first_images, make_trial, new_step, run_digits_trial

from trials.measurement import Timing
from trials.recipe import Ramp
from trials.run_trial import start_worker
from trials.timing.step_time import measure_step_time
from trials.training.synthetic_batch import SyntheticBatch
from trials.training.train import EpochEnd, train
from trials.trial import EpochResult, Slot, TrialResult
from trials.worker_setup import WorkerSetup

pytestmark = pytest.mark.usefixtures("as_a_worker")


Run = tuple[list[EpochResult], TrialResult]


@pytest.fixture(scope="module")
def plain(as_a_worker: None) -> Run:
    """The plain trial, run once."""
    return run_digits_trial(make_trial())


def test_first_loss_is_the_logarithm_of_the_number_of_classes() -> None:
    images = digits()
    step = new_step(replace(RECIPE, label_smoothing=0.0))
    step(*first_images(images, 256))
    loss, _ = step.read_totals()
    assert loss == pytest.approx(math.log(10), rel=0.15)


def test_network_memorises_64_images() -> None:
    images = digits()
    step = new_step(replace(RECIPE, label_smoothing=0.0))
    batch = first_images(images, 64)
    step.learning_rate.fill_(0.004)
    for _ in range(80):
        step(*batch)
    step.read_totals()
    step(*batch)
    loss, accuracy = step.read_totals()
    assert accuracy == 1.0
    assert loss < 0.05


def test_a_seed_gives_the_same_curve_twice_and_another_seed_another(plain: Run) -> None:
    first, second = plain[0], run_digits_trial(make_trial())[0]
    other = run_digits_trial(make_trial(seed=4))[0]
    curve = [(e.train_loss, e.minival_loss, e.minival_accuracy) for e in first]
    assert curve == [(e.train_loss, e.minival_loss, e.minival_accuracy) for e in second]
    assert curve != [(e.train_loss, e.minival_loss, e.minival_accuracy) for e in other]


def test_the_same_trial_gives_the_same_curve_first_or_later_in_a_worker() -> None:
    worker = start_worker(Slot(index=0), setup=WorkerSetup(data=DIGITS, reference=SMALL))
    curves = []
    for trial in (make_trial(), make_trial(architecture=WIDE, seed=9), make_trial()):
        curves.append([e.train_loss for e in worker(trial) if isinstance(e, EpochResult)])
    assert curves[0] == curves[2] != curves[1]


def test_a_trial_trains_the_same_whether_it_was_timed_or_not(plain: Run) -> None:
    timed, result = plain
    assert result.measurement is not None
    untimed, _ = run_digits_trial(replace(make_trial(), step_time=result.measurement.step_time))
    assert [e.train_loss for e in timed] == [e.train_loss for e in untimed]


def test_a_completed_trial_measures_everything() -> None:
    with passes_that_take(lambda network, images: 0.001):
        epochs, result = run_digits_trial(make_trial())
    measured = result.measurement
    assert result.status == "completed"
    assert measured is not None
    assert len(epochs) == RECIPE.epochs
    assert measured.accuracy == epochs[-1].minival_accuracy
    assert measured.accuracy_raw == epochs[-1].minival_accuracy_raw
    assert measured.params == measured.reference_params  # the reference is this network
    assert measured.step_time.step_time_ratio == pytest.approx(1.0)
    assert measured.step_time.step_seconds == pytest.approx(0.001)
    assert result.times is not None
    assert result.times.train_seconds > 0
    assert result.device is not None


def test_step_times_by_the_processors_clock_are_positive_and_ordered() -> None:
    reference, candidate = new_step(), new_step(architecture=WIDE)
    batch = SyntheticBatch.random(batch_size=32, resolution=16, num_classes=10, device=CPU)
    step_time = measure_step_time(candidate, reference, batch)
    assert step_time.step_time_ratio > 0
    assert step_time.reference_step_seconds > 0
    assert 0 < step_time.step_seconds_p10 <= step_time.step_seconds <= step_time.step_seconds_p90


def test_step_time_is_the_median_of_ratios_of_neighbouring_chunks() -> None:
    """A clock that drifts: the reference's steps take 1, the candidate's 3 units, growing 1 % a step."""
    reference, candidate = new_step(), new_step(architecture=WIDE)
    batch = SyntheticBatch.random(batch_size=8, resolution=16, num_classes=10, device=CPU)
    now, unit = 0.0, 1.0
    costs = {id(reference.network): 1.0, id(candidate.network): 3.0}

    def count_time(network: torch.nn.Module, *_: object) -> None:
        nonlocal now, unit
        now += costs[id(network)] * unit
        unit *= 1.01

    for step in (reference, candidate):
        step.network.register_forward_hook(count_time)
    step_time = measure_step_time(candidate, reference, batch, clock=lambda: now)
    assert step_time.step_time_ratio == pytest.approx(3.0, rel=0.01)
    assert step_time.flag is None


def test_widely_spread_step_times_are_flagged() -> None:
    reference, candidate = new_step(), new_step(architecture=WIDE)
    batch = SyntheticBatch.random(batch_size=8, resolution=16, num_classes=10, device=CPU)
    now, calls = 0.0, 0

    def count_time(network: torch.nn.Module, *_: object) -> None:
        nonlocal now, calls
        calls += 1
        now += 1.0 + calls % 5

    for step in (reference, candidate):
        step.network.register_forward_hook(count_time)
    assert measure_step_time(candidate, reference, batch, clock=lambda: now).flag is not None


def test_timing_a_step_restores_weights_statistics_and_optimizer() -> None:
    candidate = new_step()
    images = digits()
    candidate.learning_rate.fill_(0.01)
    candidate(*first_images(images, 64))
    before = candidate.state()
    batch = SyntheticBatch.random(batch_size=16, resolution=16, num_classes=10, device=CPU)
    measure_step_time(candidate, new_step(), batch)
    after = candidate.state()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_trial_is_timed_under_the_searchs_conditions() -> None:
    _, result = run_digits_trial(replace(make_trial(), timing=Timing(batch_size=8, resolution=24)))
    assert result.step_time is not None
    assert (result.step_time.batch_size, result.step_time.resolution) == (8, 24)


def test_progressive_training_changes_resolution_and_dropout_by_stage() -> None:
    recipe = replace(RECIPE, epochs=4, num_training_stages=2, resolution=Ramp(12, 24), dropout=Ramp(0.0, 0.5))
    step = new_step(recipe)
    packs = {size: digits(size) for size in (12, 24)}
    ends = [
        event
        for event in train(step, recipe, images_at=packs.__getitem__, epochs=4, seed=0)
        if isinstance(event, EpochEnd)
    ]
    assert [end.resolution for end in ends] == [12, 12, 24, 24]
    assert [end.epoch for end in ends] == [1, 2, 3, 4]


FALLING = replace(
    RECIPE, epochs=3, num_training_stages=3, dropout=Ramp(0.5, 0.0), crop_padding=0.0, averaging_decay=0.0
)


@pytest.mark.parametrize(
    ("dropout", "rates"),
    [
        (Ramp(0.5, 0.0), [0.5, 0.25, 0.0]),
        (Ramp(0.5, 0.1), [0.5, 0.3, 0.1]),
        (Ramp(0.0, 0.4), [0.0, 0.2, 0.4]),
    ],
    ids=["to 0", "falling", "rising"],
)
def test_the_head_drops_at_the_rate_of_each_training_stage(dropout: Ramp, rates: list[float]) -> None:
    recipe = replace(FALLING, dropout=dropout)
    step, seen = new_step(recipe), []

    def note_dropped(module: torch.nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
        if module.training:
            seen.append((inputs[0] != 0) & (output == 0))

    step.network.dropout.register_forward_hook(note_dropped)
    images = digits()
    list(train(step, recipe, images_at=lambda _: images, epochs=3, seed=0))
    steps = len(seen) // 3
    shares = [torch.cat(seen[i * steps : (i + 1) * steps]).float().mean().item() for i in range(3)]
    assert shares == pytest.approx(rates, abs=0.02)


def test_a_trial_whose_dropout_falls_to_none_drops_in_its_early_stages() -> None:
    falling, _ = run_digits_trial(make_trial(FALLING))
    none, _ = run_digits_trial(make_trial(replace(FALLING, dropout=Ramp(0.0, 0.0))))
    assert falling[0].train_loss > none[0].train_loss


def test_a_network_that_cannot_drop_refuses_a_rate() -> None:
    network = new_step(replace(RECIPE, dropout=Ramp(0.0, 0.0))).network
    with pytest.raises(ValueError, match=r"dropout 0\.2: this network was built without dropout"):
        network.set_strengths(dropout=0.2, stochastic_depth=0.0)


def test_a_diverging_trial_is_infeasible_and_says_so() -> None:
    def explode(module: torch.nn.Module, inputs: object, output: torch.Tensor) -> torch.Tensor | None:
        return output * math.inf if isinstance(module, torch.nn.Linear) and module.training else None

    hook = torch.nn.modules.module.register_module_forward_hook(explode)
    try:
        _, result = run_digits_trial(make_trial())
    finally:
        hook.remove()
    assert (result.status, result.failure_kind) == ("infeasible", "non_finite_loss")
    assert "epoch 1" in (result.error or "")
    assert result.params is not None
    assert result.step_time is not None


def test_a_network_too_deep_for_the_images_is_infeasible() -> None:
    deep = replace(SMALL, stages=tuple(replace(SMALL.stages[1]) for _ in range(6)))
    _, result = run_digits_trial(make_trial(architecture=deep))
    assert (result.status, result.failure_kind) == ("infeasible", "invalid_network")


def test_accuracy_of_a_trial_is_that_of_averaged_weights(plain: Run) -> None:
    raw_recipe = replace(RECIPE, averaging_decay=0.0)
    _, averaged = plain
    _, raw = run_digits_trial(make_trial(raw_recipe))
    assert averaged.measurement is not None
    assert raw.measurement is not None
    assert raw.measurement.accuracy == raw.measurement.accuracy_raw
    assert (
        averaged.measurement.accuracy_raw == raw.measurement.accuracy_raw
    )  # averaging leaves training alone


@pytest.mark.gpu
def test_a_trial_runs_on_cuda_and_reports_memory() -> None:
    worker = start_worker(Slot(index=0, device="cuda:0"), setup=WorkerSetup(data=DIGITS, reference=SMALL))
    *_, result = worker(make_trial())
    assert isinstance(result, TrialResult)
    assert result.measurement is not None
    assert result.measurement.peak_memory_bytes
    assert result.precision == "bf16"


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells")
def test_worker_gives_a_trials_memory_back_where_memory_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trials.devices.device.PLENTY", math.inf)

    def resident_bytes() -> int:
        line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("VmRSS"))
        return int(line.split()[1]) * 1024

    worker = start_worker(Slot(index=0), setup=WorkerSetup(data=DIGITS, reference=SMALL))
    large = replace(WIDE, stem_stride=1)
    small_trial, large_trial = make_trial(), make_trial(replace(RECIPE, epochs=1, batch_size=256), large)
    list(worker(small_trial))
    before = resident_bytes()
    largest = 0
    for event in worker(large_trial):
        assert not isinstance(event, TrialResult) or event.status == "completed", event.error
        largest = max(largest, resident_bytes())
    assert largest - before > 50e6
    assert resident_bytes() - before < 0.3 * (largest - before)

"""Memory of trials: they fit into a device in parts, also later, and leave nothing behind."""

import gc
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest
import torch
from full_trainings import CONFIG
from recordings import record_by, repeated
from small_networks import SMALL
from small_trials import CPU, DIGITS, RECIPE, digits, make_trial, new_step, run_digits_trial
from torch._subclasses.fake_tensor import FakeTensor

from nas.training.train import train_fully
from nas.training.training_events import TrainingBegun
from trials.augmentation.augment_batch import Augmentation
from trials.devices.own_memory import OwnMemory, held_bytes
from trials.images.config import DataConfig
from trials.recipe import Ramp
from trials.run_trial import start_worker
from trials.training import micro_batches, stage_calls
from trials.training.cuda_graphs import GraphedCalls, Recorded, recorder_of
from trials.training.device_group import share_of_batch
from trials.training.micro_batches import fit_training
from trials.training.stage_calls import StageCalls, train_batch
from trials.training.step import TrainingStep
from trials.trial import Slot, TrialResult
from trials.worker_setup import WorkerSetup

pytestmark = pytest.mark.usefixtures("as_a_worker")

GPU = torch.device("cuda:0")
TRIALS = 3  # one after the other in a worker; what the first leaves is kept on purpose
MIXED = replace(
    RECIPE, crop="resized", flip=True, randaugment=Ramp(9, 9), mixup=Ramp(0.5, 0.5), cutmix=Ramp(1, 1)
)


@pytest.fixture
def like_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CPU of which memory is looked after as of a GPU, with made-up graphs."""
    monkeypatch.setattr(micro_batches, "CHECKED", ("cpu",))
    record_by(monkeypatch, repeated)


# ---------------------------------------------------------------- parts


@pytest.mark.parametrize("recipe", [MIXED, replace(MIXED, cutmix=Ramp(0, 0))], ids=["both", "mixup"])
def test_micro_batches_that_are_augmented_apart_are_those_of_the_augmented_batch(
    recipe: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, images = new_step(recipe), digits()  # type: ignore[arg-type]
    step.micro_batches = 4
    chosen = images.train[:64]
    batch = images.pixels[chosen], images.labels[chosen], chosen
    augment = Augmentation(recipe, recipe.training_stages()[0], CPU)  # type: ignore[attr-defined,arg-type]
    augment.start_epoch(seed=3, epoch=1)
    whole = augment(*batch)
    taken: list[tuple[torch.Tensor, ...]] = []
    monkeypatch.setattr(step, "take", lambda parts, images: taken.extend(parts))
    train_batch(step, augment, {}, *batch)
    assert [len(part[0]) for part in taken] == [16] * 4
    for rank, part in enumerate(taken):
        share = share_of_batch(64, rank=rank, size=4, pairing=recipe.pairing())  # type: ignore[attr-defined]
        for of_part, of_whole in zip(part, vars(whole).values(), strict=True):
            torch.testing.assert_close(of_part, of_whole[share])


def test_a_batch_that_cannot_be_divided_for_mixing_is_augmented_as_a_whole() -> None:
    step, images = new_step(MIXED), digits()
    step.micro_batches = 4
    chosen = images.train[:60]
    augment = Augmentation(MIXED, MIXED.training_stages()[0], CPU)
    train_batch(step, augment, {}, images.pixels[chosen], images.labels[chosen], chosen)
    assert step.totals[2] == 60


def needing_room(limit: int) -> Callable[..., object]:
    """An augmentation that has room for so many images."""
    original = Augmentation.__call__

    def call(augment: Augmentation, images: torch.Tensor, *others: torch.Tensor) -> object:
        if len(images) > limit:
            raise torch.OutOfMemoryError("no room")
        return original(augment, images, *others)

    return call


@pytest.mark.usefixtures("like_a_gpu")
def test_what_fits_is_decided_with_the_augmentation(monkeypatch: pytest.MonkeyPatch) -> None:
    step, untouched = new_step(MIXED), new_step(MIXED)
    monkeypatch.setattr(Augmentation, "__call__", needing_room(20))
    state = torch.get_rng_state()
    stages = MIXED.training_stages()
    assert fit_training(step, MIXED, stages, batch_size=64, num_classes=10) == 4
    assert torch.equal(torch.get_rng_state(), state)
    for name, value in untouched.state().items():
        assert torch.equal(step.state()[name], value), name


@pytest.mark.usefixtures("like_a_gpu")
def test_what_fits_is_decided_with_the_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage_calls, "evaluate", refusing(stage_calls.evaluate, more_than=40))
    step = new_step()
    assert fit_training(step, RECIPE, RECIPE.training_stages(), batch_size=64, num_classes=10) == 2
    ends, result = run_digits_trial(make_trial())
    assert (result.status, result.micro_batches, len(ends)) == ("completed", 2, 2)


def test_what_fits_is_decided_beside_the_images_of_all_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = start_worker(Slot(index=0), setup=WorkerSetup(data=DIGITS, reference=SMALL))
    opened, images_at = [], worker.images_at  # type: ignore[attr-defined]
    there: list[int] = []

    def noted(resolution: int) -> object:
        opened.append(resolution)
        return images_at(resolution)

    def fit(*given: object, **named: object) -> int:
        there.extend(opened)
        return 1

    worker.images_at = noted  # type: ignore[attr-defined]
    monkeypatch.setattr("trials.run_trial.fit_training", fit)
    list(worker(make_trial(replace(RECIPE, num_training_stages=2, resolution=Ramp(8, 16)))))
    assert set(there) == {8, 16}


def refusing(evaluate: Callable[..., torch.Tensor], *, more_than: int) -> Callable[..., torch.Tensor]:
    def call(
        network: torch.nn.Module, images: torch.Tensor, *others: object, **named: object
    ) -> torch.Tensor:
        if len(images) > more_than:
            raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")
        return evaluate(network, images, *others, **named)

    return call


@pytest.mark.usefixtures("like_a_gpu")
def test_memory_that_runs_out_later_makes_smaller_parts_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the second epoch, as where a neighbour takes memory: the trial begins again, and its row says so."""
    original = stage_calls.train_batch
    steps = 0

    def train(step: TrainingStep, *others: object) -> None:
        nonlocal steps
        steps += 1
        if steps > 9 and step.micro_batches == 1:
            raise RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be …")
        original(step, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(stage_calls, "train_batch", train)
    ends, result = run_digits_trial(make_trial())
    assert (result.status, result.micro_batches) == ("completed", 2)
    assert [end.epoch for end in ends] == [1, 1, 2]
    assert len(result.epochs) == 2


@pytest.mark.usefixtures("like_a_gpu")
def test_a_full_training_goes_on_in_smaller_parts_after_its_last_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, begun = stage_calls.train_batch, []

    def train(step: TrainingStep, *others: object) -> None:
        if (tmp_path / "run" / "metrics.parquet").exists() and step.micro_batches == 1:
            raise RuntimeError("CUDA error: out of memory")
        original(step, *others)  # type: ignore[arg-type]

    def tell(event: object) -> None:
        if isinstance(event, TrainingBegun):
            begun.append((event.first_epoch, event.micro_batches))

    monkeypatch.setattr(stage_calls, "train_batch", train)
    result = train_fully(CONFIG, tmp_path / "run", on_event=tell)
    assert [metrics.epoch for metrics in result.metrics] == [1, 2, 3, 4]
    assert begun == [(0, 1), (1, 2)]


# ---------------------------------------------------------------- what is left


class _Graph:
    """A made-up graph, which is open until it is closed, or nobody holds it any more."""

    opened: ClassVar[int] = 0
    open: ClassVar[int] = 0

    def __init__(self, work: Callable[[], None]) -> None:
        self.replay: Callable[[], object] | None = repeated(work).replay
        _Graph.opened += 1
        _Graph.open += 1

    def __call__(self) -> None:
        assert self.replay is not None, "a graph that was closed runs"
        self.replay()

    def close(self) -> None:
        _Graph.open -= self.replay is not None
        self.replay = None

    __del__ = close


def graph_of(work: Callable[[], None]) -> Recorded:
    graph = _Graph(work)
    return Recorded(graph, graph.close)


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Garbage that only the collector would find stays."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def left() -> dict[str, int]:
    """Numbers of tensors, the bytes of their storages, and of all that holds them or a graph."""
    objects = [each for each in gc.get_objects() if not issubclass(type(each), FakeTensor)]
    kinds = (torch.Tensor, TrainingStep, StageCalls, GraphedCalls)
    found = {kind: [each for each in objects if issubclass(type(each), kind)] for kind in kinds}
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in found[torch.Tensor]}
    numbers = {kind.__name__: len(each) for kind, each in found.items()}
    return {**numbers, "bytes": sum(storages.values()), "open graphs": _Graph.open}


@pytest.mark.parametrize("timings", [1, 2])
@pytest.mark.usefixtures("like_a_gpu", "no_collector")
def test_trials_leave_no_step_no_graph_and_no_tensor(timings: int, monkeypatch: pytest.MonkeyPatch) -> None:
    record_by(monkeypatch, graph_of)
    monkeypatch.setattr("trials.measured_times.is_uncertain", lambda time: timings == 2)
    setup = WorkerSetup(data=DataConfig(source="digits", fraction=0.1), reference=SMALL)
    worker = start_worker(Slot(index=0), setup=setup)
    recipe = replace(RECIPE, epochs=1, mixup=Ramp(0.5, 0.5))
    opened, after_first = _Graph.opened, {}
    for seed in range(TRIALS):
        *_, result = worker(make_trial(recipe, seed=seed))
        assert isinstance(result, TrialResult)
        assert result.status == "completed"
        del result
        after_first = after_first or left()  # with the reference and its graph
    # The reference's; of each trial to time (again), to train, to evaluate.
    assert _Graph.opened - opened == 1 + TRIALS * (timings + 2)
    assert left() == after_first


@pytest.mark.usefixtures("no_collector")
def test_a_trial_that_fails_leaves_nothing_either(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = start_worker(Slot(index=0), setup=WorkerSetup(data=DIGITS, reference=SMALL))
    list(worker(make_trial()))
    before = left()

    def fail(*_: object) -> None:
        raise ValueError("a bug")

    monkeypatch.setattr(stage_calls, "train_batch", fail)
    *_, result = worker(make_trial())
    assert isinstance(result, TrialResult)
    assert result.failure_kind == "bug"
    del result
    assert left() == before


# ---------------------------------------------------------------- what is counted


def test_a_networks_memory_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not counted: what was there before, images and the reference."""
    device = SimpleNamespace(allocated=5000, peak=9000)

    def reset(_: torch.device) -> None:
        device.peak = device.allocated

    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", reset)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: device.allocated)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda _: device.peak)
    memory = OwnMemory(GPU)
    device.peak = 5700
    assert memory.peak() == 700
    device.allocated = 5100
    memory.restart()
    device.peak = 5400
    assert memory.peak(besides=50) == 350
    assert OwnMemory(CPU).peak() is None


def test_memory_between_trials_is_what_others_cannot_have(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pools of graphs are reserved and not allocated; what is merely cached is given back first."""
    device = SimpleNamespace(reserved=900)

    def empty_cache() -> None:
        device.reserved = 300

    monkeypatch.setattr(torch.cuda, "empty_cache", empty_cache)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: device.reserved)
    assert held_bytes(GPU) == 300
    assert held_bytes(CPU) == 0


def test_networks_share_a_stream_and_each_has_a_pool_that_ends_with_its_graphs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A pool that lasts keeps the memory of the largest network so far from all others."""
    streams: list[torch.device] = []
    pools = iter(range(100))
    captured_in: list[object] = []
    stream = SimpleNamespace(wait_stream=lambda other: None)

    class Graph:
        replay = reset = capture_end = lambda self: None

        def capture_begin(self, *, pool: object, **_: object) -> None:
            captured_in.append(pool)

    def new_stream(device: torch.device) -> object:
        streams.append(device)
        return stream

    for name, value in {
        "graph_pool_handle": lambda: next(pools),
        "Stream": new_stream,
        "current_stream": lambda device: stream,
        "stream": lambda stream: nullcontext(),
        "synchronize": lambda device: None,
        "empty_cache": lambda: None,
        "CUDAGraph": Graph,
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)
    device = torch.device("cuda:6")
    first, second = recorder_of(device), recorder_of(torch.device("cuda:6"))
    assert first is not None
    assert second is not None
    timed = first(lambda: None)
    trained = first(lambda: None)
    other = second(lambda: None)
    timed.close()
    evaluated = first(lambda: None)
    assert captured_in == [0, 0, 1, 0]
    trained.close()
    evaluated.close()
    first(lambda: None)
    assert captured_in[-1] == 2
    other.close()
    assert streams == [device]


# ---------------------------------------------------------------- on CUDA


@pytest.mark.gpu
def test_device_memory_is_flat_over_twenty_trials() -> None:
    worker = start_worker(Slot(index=0, device="cuda:0"), setup=WorkerSetup(data=DIGITS, reference=SMALL))
    held = []
    for seed in range(20):
        *_, result = worker(make_trial(MIXED, seed=seed))
        assert isinstance(result, TrialResult)
        assert result.status == "completed"
        held.append(worker.held_bytes())  # type: ignore[attr-defined]
    assert max(held[2:]) <= held[1]


@pytest.mark.gpu
def test_a_batch_larger_than_the_device_is_trained_in_parts_or_refused() -> None:
    setup = WorkerSetup(data=DIGITS, reference=SMALL)
    worker = start_worker(Slot(index=0, device="cuda:0"), setup=setup)
    free, _ = torch.cuda.mem_get_info()
    block = torch.empty(int(0.97 * free), dtype=torch.uint8, device="cuda:0")
    large = replace(RECIPE, batch_size=1024, resolution=Ramp(224, 224))
    *_, result = worker(make_trial(large))
    assert isinstance(result, TrialResult)
    assert result.status == "completed" or result.failure_kind == "out_of_memory", result.error
    del block
    *_, after = worker(make_trial())
    assert isinstance(after, TrialResult)
    assert after.status == "completed", after.error

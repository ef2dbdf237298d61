"""The host stays a few steps ahead of a GPU: on a made-up one, whose steps take made-up time."""

from collections.abc import Iterator

import pytest
import torch
from small_trials import RECIPE, digits, new_step

from trials.training import train as train_file
from trials.training.run_ahead import RunAhead, device_waited
from trials.training.train import EpochEnd, Heartbeat, train

CUDA = torch.device("cuda:0")
STEPS = 100


class Gpu:
    """Time of a host and of the GPU that it launches steps on; events end with the steps before them."""

    def __init__(self) -> None:
        self.now = 0.0  # of the host
        self.free_at = 0.0  # when all is done that was launched
        self.ends: list[float] = []  # of steps

    def launch(self, seconds: float) -> None:
        self.free_at = max(self.free_at, self.now) + seconds
        self.ends.append(self.free_at)

    def wait(self, until: float) -> float:
        """The host waits; returns for how long."""
        waited = max(until - self.now, 0.0)
        self.now += waited
        return waited

    @property
    def queued(self) -> int:
        return sum(end > self.now for end in self.ends)

    def event(self, *, blocking: bool) -> "Event":
        assert blocking
        return Event(self)


class Event:
    def __init__(self, gpu: Gpu) -> None:
        self._gpu, self._at = gpu, 0.0

    def record(self, stream: str) -> None:
        assert stream == "the stream of cuda:0"
        self._at = self._gpu.free_at

    def synchronize(self) -> None:
        self._gpu.wait(self._at)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Gpu:
    made_up = Gpu()
    monkeypatch.setattr(torch.cuda, "Event", made_up.event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: f"the stream of {device}")
    return made_up


def queues(gpu: Gpu, *, step: float, images: float, is_resident: bool) -> Iterator[int]:
    """Steps queued after each launch, where a step and the images of a batch take so many seconds."""
    ahead = RunAhead(CUDA)
    for _ in range(STEPS):
        gpu.now += images
        gpu.launch(step)
        ahead.launched(is_resident=is_resident)
        yield gpu.queued


@pytest.mark.parametrize(("is_resident", "fewest", "most"), [(True, 8, 11), (False, 4, 5)])
def test_a_few_steps_stay_queued_and_never_an_epoch(
    is_resident: bool, fewest: int, most: int, gpu: Gpu
) -> None:
    found = list(queues(gpu, step=1.0, images=0.001, is_resident=is_resident))
    assert max(found) == most
    assert min(found[most:]) == fewest  # so that a host that is busy for a moment starves no GPU


def test_a_host_that_is_slower_than_the_gpu_waits_for_nothing(gpu: Gpu) -> None:
    assert max(queues(gpu, step=0.5, images=1.0, is_resident=False)) == 1
    assert gpu.now == pytest.approx(STEPS * 1.0)


def test_on_a_cpu_no_event_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cuda, "Event")
    ahead = RunAhead(torch.device("cpu"))
    for _ in range(STEPS):
        ahead.launched(is_resident=True)


@pytest.mark.parametrize("is_resident", [True, False])
@pytest.mark.parametrize(
    ("step", "images", "counts"), [(1.0, 0.2, False), (1.0, 0.9, False), (0.5, 1.0, True)]
)
def test_images_are_waited_for_where_the_gpu_has_nothing_queued(
    step: float, images: float, counts: bool, is_resident: bool, gpu: Gpu
) -> None:
    for _ in queues(gpu, step=step, images=images, is_resident=is_resident):
        pass
    launching = gpu.now
    left = gpu.wait(gpu.free_at)
    waited = device_waited(STEPS * images, left=left, launching=launching, steps=STEPS)
    assert waited == (STEPS * images if counts else 0.0)


@pytest.mark.usefixtures("as_a_worker")
def test_training_and_evaluating_are_bounded_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    launched: list[bool] = []

    class Counted(RunAhead):
        def launched(self, *, is_resident: bool) -> None:
            launched.append(is_resident)

    monkeypatch.setattr(train_file, "RunAhead", Counted)
    images = digits()
    step = new_step(RECIPE)
    told = list(train(step, RECIPE, images_at=lambda resolution: images, epochs=1, seed=0))
    assert any(isinstance(each, (Heartbeat, EpochEnd)) for each in told)
    batch_size = RECIPE.batch_size
    steps = len(images.train) // batch_size
    passes = 2 if step.average is not None else 1
    assert launched == [True] * (steps + passes * -(-len(images.minival) // batch_size))


@pytest.mark.gpu
def test_on_a_gpu_an_interruption_waits_for_a_few_steps_only() -> None:
    """Without the bound the host would be done with launching long before the device."""
    work = torch.randn(4096, 4096, device=CUDA)
    ahead, unfinished = RunAhead(CUDA), []
    ends = [torch.cuda.Event() for _ in range(STEPS)]
    for i in range(STEPS):
        for _ in range(20):
            work = work @ work
        ends[i].record()
        ahead.launched(is_resident=True)
        unfinished.append(sum(not end.query() for end in ends[: i + 1]))
    assert 4 <= max(unfinished) <= 11

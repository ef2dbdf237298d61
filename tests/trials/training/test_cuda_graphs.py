"""Recorded calls: the buffers that a recording needs give the numbers of plain calls; memory that is full."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from recordings import repeated
from small_networks import SMALL
from small_trials import DIGITS, RECIPE, digits, make_trial, new_step, run_digits_trial

from search_spaces.networks.network import build_network
from trials.devices.device_errors import WITHOUT_GRAPHS, CaptureFailedError
from trials.images.device_images import ResidentImages
from trials.images.packed import open_images
from trials.recipe import Ramp, Recipe
from trials.timing.step_time import measure_step_time
from trials.training import micro_batches
from trials.training.cuda_graphs import WARM_UP_CALLS, CudaRecorder, GraphedCalls, allows_graphs
from trials.training.micro_batches import fit_in_memory
from trials.training.step import TrainingStep
from trials.training.synthetic_batch import SyntheticBatch
from trials.training.train import EpochEnd, train

pytestmark = pytest.mark.usefixtures("as_a_worker")

EVERYTHING = replace(
    RECIPE, crop="resized", flip=True, randaugment=Ramp(9, 9), mixup=Ramp(0.5, 0.5), cutmix=Ramp(1, 1),
    cutout=0.25, dropout=Ramp(0.3, 0.3), stochastic_depth=0.3, epochs=2,
)  # fmt: skip


def curve(step: TrainingStep, recipe: Recipe, images: ResidentImages) -> list[tuple[float, ...]]:
    events = train(step, recipe, images_at=lambda _: images, epochs=recipe.epochs, seed=5)
    return [
        (end.train_loss, end.minival_loss, end.minival_accuracy)
        for end in events
        if isinstance(end, EpochEnd)
    ]


@pytest.mark.parametrize("recipe", [RECIPE, EVERYTHING])
def test_recorded_training_steps_train_as_plain_ones(recipe: Recipe) -> None:
    plain, recorded = new_step(recipe), new_step(recipe)
    recorded._record = repeated
    assert curve(recorded, recipe, digits()) == curve(plain, recipe, digits())
    assert torch.equal(recorded.parameters.values, plain.parameters.values)


def test_recording_a_call_leaves_tensors_and_generator_as_they_were() -> None:
    values, noise = torch.zeros(3), torch.zeros(3)

    def work(added: torch.Tensor) -> None:
        values.add_(added)
        noise.copy_(torch.rand(3))

    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    calls = GraphedCalls(work, changes=[values, noise], record=repeated)
    calls(torch.ones(3))
    assert values.tolist() == [1, 1, 1]
    assert torch.equal(noise, expected)


def test_calls_of_other_shapes_than_the_recorded_one_run_unrecorded() -> None:
    sums, recordings = torch.zeros(()), 0

    def record(work: Callable[[], None]) -> Callable[[], object]:
        nonlocal recordings
        recordings += 1
        return repeated(work)

    def add(values: torch.Tensor) -> None:
        sums.add_(values.sum())

    calls = GraphedCalls(add, changes=[sums], record=record)
    for count in (4, 4, 3, 4):
        calls(torch.ones(count))
    assert (sums.item(), recordings) == (15, 1)


def test_an_error_before_the_capture_changes_nothing() -> None:
    value = torch.zeros(())

    def record(work: Callable[[], None]) -> Callable[[], object]:
        work()
        torch.rand(())
        raise torch.OutOfMemoryError("while warming up")

    calls = GraphedCalls(value.add_, changes=[value], record=record)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    with pytest.raises(torch.OutOfMemoryError):
        calls(torch.ones(()))
    assert value.item() == 0
    assert torch.equal(torch.get_rng_state(), before)


class _FailingGraph:
    """A CUDA graph of whose work the capture fails; its end fails, too, as CUDA's does."""

    def capture_begin(self, **_: object) -> None:
        pass

    def capture_end(self) -> None:
        raise RuntimeError("CUDA error: operation failed due to a previous error during capture")


def test_a_capture_that_fails_leaves_this_process_and_nothing_is_touched_any_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {
        "graph_pool_handle": lambda: (0, 1),
        "Stream": lambda device: SimpleNamespace(wait_stream=lambda other: None),
        "current_stream": lambda device: SimpleNamespace(wait_stream=lambda other: None),
        "stream": lambda stream: nullcontext(),
        "synchronize": lambda device: None,
        "empty_cache": lambda: None,
        "CUDAGraph": _FailingGraph,
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)
    calls_made, value = 0, torch.zeros(())

    def work(added: torch.Tensor) -> None:
        nonlocal calls_made
        calls_made += 1
        value.add_(added)
        if calls_made > WARM_UP_CALLS:
            raise RuntimeError("CUDA error: operation not permitted when stream is capturing\nCompile with …")

    calls = GraphedCalls(work, changes=[value], record=CudaRecorder(torch.device("cuda:0")))
    with pytest.raises(CaptureFailedError, match=r"^no CUDA graph of its work: .* stream is capturing$"):
        calls(torch.ones(()))
    assert value.item() == WARM_UP_CALLS + 1  # the device would refuse to have it restored


def test_the_environment_can_forbid_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert allows_graphs()
    name, _, off = WITHOUT_GRAPHS.partition("=")
    monkeypatch.setenv(name, off)
    assert not allows_graphs()


# ---------------------------------------------------------------- micro-batches


@pytest.fixture
def small_memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A device on which no more than 40 images fit while training."""

    def refuse(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        if isinstance(module, torch.nn.Conv2d) and module.training and len(inputs[0]) > 40:
            raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(micro_batches, "CHECKED", ("cpu",))
    hook = torch.nn.modules.module.register_module_forward_pre_hook(refuse)
    yield
    hook.remove()


def test_gradients_of_micro_batches_add_up_to_the_batchs() -> None:
    """Batch norm aside, which here has its running statistics: parts add up to the whole, uneven ones too."""
    images = digits()
    whole, parted = new_step(), new_step()
    parted.micro_batches = 4
    for step in (whole, parted):
        step.network.train = lambda mode=True, network=step.network: network  # type: ignore[assignment,misc]
        step.network.eval()
        for module in step.network.modules():
            module.training = False
        chosen = images.train[:50]
        step.learning_rate.fill_(0.001)
        step(images.pixels[chosen], images.labels[chosen])
    torch.testing.assert_close(parted.parameters.values, whole.parameters.values, rtol=1e-4, atol=1e-6)
    assert parted.read_totals() == pytest.approx(whole.read_totals(), rel=1e-5)


@pytest.mark.usefixtures("small_memory")
def test_micro_batches_double_until_a_step_fits_into_memory() -> None:
    step, untouched = new_step(EVERYTHING), new_step(EVERYTHING)
    state = torch.get_rng_state()
    assert fit_in_memory(step, batch_size=64, resolution=16, num_classes=10) == 2
    assert torch.equal(torch.get_rng_state(), state)
    for name, value in untouched.state().items():
        assert torch.equal(step.state()[name], value), name
    assert step.totals.tolist() == [0, 0, 0]


@pytest.mark.usefixtures("small_memory")
def test_a_batch_that_does_not_fit_is_trained_in_parts_and_the_row_says_so() -> None:
    ends, result = run_digits_trial(make_trial())
    assert (result.status, result.micro_batches) == ("completed", 2)
    assert len(ends) == 2


@pytest.mark.usefixtures("small_memory")
def test_trial_that_does_not_fit_in_the_smallest_micro_batches_is_infeasible() -> None:
    def refuse(module: torch.nn.Module, inputs: object) -> None:
        if isinstance(module, torch.nn.Conv2d) and module.training:
            raise torch.OutOfMemoryError("no room")

    hook = torch.nn.modules.module.register_module_forward_pre_hook(refuse)
    try:
        _, result = run_digits_trial(make_trial())
    finally:
        hook.remove()
    assert (result.status, result.failure_kind) == ("infeasible", "out_of_memory")


# ---------------------------------------------------------------- on CUDA


def cuda_step(recipe: Recipe, *, graphs: bool, precision: str = "bf16") -> TrainingStep:
    torch.manual_seed(0)
    network = build_network(
        SMALL, num_classes=10, dropout=recipe.dropout.end, stochastic_depth=recipe.stochastic_depth
    )
    device = torch.device("cuda:0")
    return TrainingStep(network, recipe, device=device, precision=precision, cuda_graphs=graphs)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("recipe", [RECIPE, EVERYTHING])
def test_graphed_and_eager_steps_agree_over_50_steps(recipe: Recipe, precision: str) -> None:
    """Also in their random draws, which are those of the same generator at the same places."""
    images = ResidentImages(open_images(DIGITS, resolution=16), torch.device("cuda:0"))
    longer = replace(recipe, epochs=max(2, 50 * recipe.batch_size // len(images.train) + 1))
    curves = []
    for graphs in (True, False):
        step = cuda_step(longer, graphs=graphs, precision=precision)
        torch.backends.cudnn.deterministic = True
        try:
            curves.append(curve(step, longer, images))
        finally:
            torch.backends.cudnn.deterministic = False
    for graphed, eager in zip(*curves, strict=True):
        assert graphed == pytest.approx(eager, rel=2e-2, abs=2e-3)


@pytest.mark.gpu
def test_random_drops_differ_from_replay_to_replay_of_a_cuda_graph() -> None:
    device = torch.device("cuda:0")
    step = cuda_step(RECIPE, graphs=True)
    drawn = torch.zeros(8, device=device)
    calls = step.graphed(lambda given: drawn.copy_(torch.rand(8, device=device) + given), changes=[drawn])
    zero = torch.zeros(8, device=device)
    calls(zero)
    first = drawn.clone()
    calls(zero)
    assert not torch.equal(first, drawn)


@pytest.mark.gpu
def test_timing_with_graphs_changes_no_tensor_of_the_step() -> None:
    step, reference = cuda_step(EVERYTHING, graphs=True), cuda_step(RECIPE, graphs=True)
    before = step.state()
    batch = SyntheticBatch.random(batch_size=64, resolution=16, num_classes=10, device=step.device)
    assert measure_step_time(step, reference, batch).step_time_ratio > 0
    for name, value in step.state().items():
        assert torch.equal(value, before[name]), name


@pytest.mark.gpu
def test_images_that_do_not_fit_on_the_device_train_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    device, packed = torch.device("cuda:0"), open_images(DIGITS, resolution=16)
    resident = ResidentImages(packed, device)
    monkeypatch.setattr("trials.images.device_images.RESIDENT_SHARE", 0.0)
    streamed = ResidentImages(packed, device)
    assert (resident.is_resident, streamed.is_resident) == (True, False)
    curves = [curve(cuda_step(RECIPE, graphs=True), RECIPE, images) for images in (resident, streamed)]
    assert curves[0] == pytest.approx(curves[1], rel=1e-2)

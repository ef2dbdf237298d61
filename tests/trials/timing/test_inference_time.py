"""Alternate timing, and inference time measured by it."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from clocks import Clock, passes_that_take
from recordings import record_by
from small_networks import WIDE
from small_trials import CPU, new_step
from torch import nn

from trials.timing.alternating import (
    CHUNK_SECONDS,
    EARLIEST_END,
    FEWEST_ROUNDS,
    ROUNDS,
    Alternated,
    alternate,
    chunk_seconds_on,
)
from trials.timing.inference_time import TimedForward, measure_inference_time, with_cast_weights

pytestmark = pytest.mark.usefixtures("as_a_worker")


def test_drifting_clock_does_not_move_the_ratio_of_two_times() -> None:
    clock = Clock()
    slower = 1.0

    def drifting(base: float) -> Callable[[], None]:
        def run() -> None:
            nonlocal slower
            slower *= 1.01
            clock.now += base * slower

        return run

    timed = alternate(drifting(2.0), drifting(1.0), clock=clock)
    assert timed.ratio == pytest.approx(2.0, rel=0.01)
    assert timed.flag is None


def test_alternate_timing_ends_when_the_ratio_is_sure() -> None:
    clock = Clock()
    timed = alternate(clock.work(2.0), clock.work(1.0), clock=clock)
    assert (timed.rounds, timed.error, timed.ratio) == (EARLIEST_END, 0.0, 2.0)
    told: list[float] = []
    slightly = alternate(
        clock.work(2.0, 2.02, 2.04, 2.06), clock.work(1.0), clock=clock, on_round=told.append
    )
    assert EARLIEST_END < slightly.rounds < ROUNDS
    assert slightly.error < 0.005
    assert told == [*(done / ROUNDS for done in range(1, slightly.rounds)), 1.0]


def test_scattering_times_take_all_rounds_and_are_flagged() -> None:
    clock = Clock()
    timed = alternate(clock.work(1.0, 2.0, 3.0), clock.work(1.0), clock=clock)
    assert timed.rounds == ROUNDS
    assert timed.flag is not None
    assert timed.flag.startswith("uncertain by ")


def test_error_of_a_timed_ratio_is_what_its_median_scatters_by() -> None:
    """Times with a long upper tail: 4 in 5 near 1, the others up to half as long again."""
    rng = np.random.default_rng(0)
    ratios, errors = [], []
    for _ in range(300):
        seconds = 1 + 0.03 * rng.standard_normal((2, ROUNDS + 1)) + 0.5 * (rng.random((2, ROUNDS + 1)) > 0.8)
        timed = Alternated(tuple(seconds[0]), tuple(seconds[1, :-1]), 0.0)
        ratios.append(timed.ratio)
        errors.append(timed.error)
    assert float(np.median(errors)) == pytest.approx(float(np.std(ratios)), rel=0.35)


def test_one_slow_chunk_of_the_reference_does_not_move_the_ratio() -> None:
    seconds = [1.0] * 6
    seconds[2] = 2.0
    assert Alternated(tuple(seconds), (3.0,) * 5, 0.0).ratio == 3.0
    assert Alternated((1.0, 2.0, 1.0), (3.0, 3.0), 0.0).ratios == [3.0, 1.5, 1.5, 3.0]


def test_long_training_allows_a_longer_timing() -> None:
    """Steps of 0.2 s in one second, or in a twentieth of 270 steps: 13.5 of them."""
    for most, rounds in ((0.0, 1), (0.05 * 270, 5)):
        clock = Clock()
        timed = alternate(clock.work(0.2), clock.work(0.2), clock=clock, max_seconds=1.0, max_calls=most)
        assert timed.rounds == rounds
        assert timed.cost_seconds <= max(1.0, most * 0.2) + 1e-9
    clock = Clock()
    timed = alternate(clock.work(0.2), clock.work(0.2), clock=clock, max_seconds=1.0, fewest_rounds=3)
    assert timed.rounds == 3


def test_slow_work_is_timed_in_fewer_rounds() -> None:
    clock = Clock()
    timed = alternate(clock.work(50.0), clock.work(10.0), clock=clock, max_seconds=60.0)
    assert timed.rounds == FEWEST_ROUNDS
    assert timed.ratio == pytest.approx(5.0)


def test_slow_work_is_neither_warmed_up_twice_nor_estimated() -> None:
    clock = Clock()
    alternate(clock.work(50.0), clock.work(10.0), clock=clock, max_seconds=60.0)
    assert clock.now == (50 + 10) + (10 + 50 + 10)  # the warm-up, and R C R


class LaunchingClock(Clock):
    """As a GPU's: a chunk of calls also takes a launch and a wait, and the first call records a graph."""

    LAUNCH = 45e-6

    def __init__(self) -> None:
        super().__init__()
        self.is_busy = False

    def __call__(self) -> float:
        self.now += self.LAUNCH * self.is_busy
        self.is_busy = False
        return self.now

    def recorded(self, seconds: float, *, recording: float) -> Callable[[], None]:
        left = recording

        def run() -> None:
            nonlocal left
            self.now += seconds + left
            left, self.is_busy = 0.0, True

        return run


@pytest.mark.parametrize("recording", [0.01, 0.3, 5.0])
@pytest.mark.parametrize("step", [0.0005, 0.001, 0.003, 0.0265, 0.3])
def test_what_a_first_call_takes_moves_neither_the_ratio_nor_the_number_of_rounds(
    step: float, recording: float
) -> None:
    def timed(ratio: float, of_first_call: float) -> Alternated:
        clock = LaunchingClock()
        candidate, reference = (clock.recorded(t, recording=of_first_call) for t in (ratio * step, step))
        return alternate(
            candidate, reference, clock=clock, chunk_seconds=chunk_seconds_on("cuda"), max_seconds=1.0,
            fewest_rounds=3,
        )  # fmt: skip

    for ratio in (0.3, 0.9, 1.0, 2.5, 5.0):
        with_first_call = timed(ratio, recording)
        assert with_first_call.ratio == pytest.approx(ratio, rel=0.002)
        assert with_first_call.rounds == timed(ratio, 0.0).rounds


def test_quick_work_is_called_no_more_often_than_twice_before_its_chunks() -> None:
    clock, calls = Clock(), [0, 0]

    def counted(number: int, seconds: float) -> Callable[[], None]:
        def run() -> None:
            calls[number] += 1
            clock.now += seconds

        return run

    timed = alternate(counted(0, 0.005), counted(1, 0.05), clock=clock)
    assert calls == [2 + 5 * timed.rounds, 1 + timed.rounds + 1]


def test_work_without_a_reference_is_timed_alone() -> None:
    clock = Clock()
    timed = alternate(clock.work(2.0), None, clock=clock)
    assert (timed.candidate_median, timed.reference_median, timed.ratio) == (2.0, 2.0, 1.0)
    assert (timed.rounds, timed.spread, timed.flag) == (EARLIEST_END, 0.0, None)
    scattering = alternate(clock.work(1.0, 2.0, 3.0), None, clock=clock)
    assert scattering.flag is not None


def test_chunks_of_quick_work_are_filled_with_calls() -> None:
    clock = Clock()
    timed = alternate(clock.work(0.001), clock.work(0.002), clock=clock)
    assert timed.ratio == pytest.approx(0.5)
    assert timed.cost_seconds > 11 * CHUNK_SECONDS * 0.99


def test_inference_is_timed_in_evaluation_mode_and_leaves_networks_as_they_were() -> None:
    candidate, reference = new_step(architecture=WIDE).network, new_step().network
    candidate.train()
    candidate.stem.eval()  # a part may be frozen
    reference.eval()
    modes: set[bool] = set()
    candidate.register_forward_hook(lambda network, *_: modes.add(network.training))
    before = {name: tensor.clone() for name, tensor in candidate.state_dict().items()}
    with passes_that_take(lambda network, images: 0.01 * images * (3 if network is candidate else 2)):
        timed = measure_inference_time(
            candidate, reference, batch_size=4, resolution=16, device=CPU, precision="fp32"
        )
    assert modes == {False}
    assert (candidate.training, candidate.stem.training, reference.training) == (True, False, False)
    assert all(torch.equal(before[name], tensor) for name, tensor in candidate.state_dict().items())
    assert (timed.inference_seconds, timed.reference_inference_seconds) == pytest.approx((0.12, 0.08))
    assert timed.inference_time_ratio == pytest.approx(1.5)
    assert (timed.batch_size, timed.resolution) == (4, 16)


def test_inference_time_of_a_network_over_its_own_is_1() -> None:
    network: nn.Module = new_step().network
    clock = Clock()
    network.register_forward_hook(lambda *_: clock.sleep(0.01))
    timed = measure_inference_time(
        network, network, batch_size=1, resolution=16, device=CPU, precision="fp32", clock=clock
    )
    assert timed.inference_time_ratio == pytest.approx(1.0)


def test_inference_times_by_the_processors_clock_are_positive_and_ordered() -> None:
    network = new_step().network
    timed = measure_inference_time(
        network, network, batch_size=1, resolution=16, device=CPU, precision="fp32", max_seconds=0.05
    )
    assert 0 < timed.inference_seconds_p10 <= timed.inference_seconds <= timed.inference_seconds_p90
    assert timed.inference_time_ratio > 0


# ---------------------------------------------------------------- weights and graphs


def test_network_with_cast_weights_computes_what_autocast_would() -> None:
    network = new_step(architecture=WIDE).network.eval()
    images = torch.randn(2, 3, 16, 16).to(memory_format=torch.channels_last)
    copied = with_cast_weights(network, "bf16", CPU)
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(copied(images), network(images))
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
    assert with_cast_weights(network, "fp32", CPU) is network


def test_a_timed_pass_in_half_precision_casts_no_weight() -> None:
    network = new_step(architecture=WIDE).network
    timed = TimedForward(network, batch_size=2, resolution=16, device=CPU, precision="bf16")
    layers = [m for m in timed._network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    in_float32 = {m for m in layers if m.weight.dtype != torch.bfloat16}
    assert {m.groups > 1 for m in in_float32 if isinstance(m, nn.Conv2d)} <= {True}  # computed in float32
    assert len(in_float32) < len(layers)


def test_passes_are_recorded_once_in_evaluation_mode_and_timed_as_graphs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, modes = Clock(), []
    network = new_step().network
    network.register_forward_hook(lambda *_: clock.sleep(0.01))

    def record(work: Callable[[], None]) -> Callable[[], object]:
        modes.append(network.training)
        work()
        return clock.work(0.002)

    record_by(monkeypatch, record)
    network.train()
    timed = TimedForward(network, batch_size=1, resolution=16, device=CPU, precision="fp32").prepare()
    for _ in range(2):
        found = measure_inference_time(
            timed, timed, batch_size=1, resolution=16, device=CPU, precision="fp32", clock=clock
        )
        assert (found.inference_seconds, found.flag) == (pytest.approx(0.002), None)
    assert modes == [False]
    assert network.training


def test_passes_are_timed_without_graphs_where_one_network_has_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, network = Clock(), new_step().network
    network.register_forward_hook(lambda *_: clock.sleep(0.01))
    record_by(monkeypatch, lambda work: clock.work(0.002))
    timed, other = (
        TimedForward(network, batch_size=1, resolution=16, device=CPU, precision="fp32", graphs=graphs)
        for graphs in (True, False)
    )
    found = measure_inference_time(
        timed, other, batch_size=1, resolution=16, device=CPU, precision="fp32", clock=clock
    )
    assert found.inference_time_ratio == pytest.approx(1.0)
    assert found.flag == "timed without CUDA graphs"


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_recorded_pass_on_cuda_takes_no_longer_than_an_eager_one(precision: str) -> None:
    device = torch.device("cuda:0")
    network = new_step(architecture=WIDE).network.to(device).to(memory_format=torch.channels_last)

    def seconds(*, graphs: bool) -> float:
        forward = TimedForward(
            network, batch_size=1, resolution=64, device=device, precision=precision, graphs=graphs
        )
        found = measure_inference_time(
            forward, None, batch_size=1, resolution=64, device=device, precision=precision, max_seconds=1.0
        )
        return found.inference_seconds

    assert seconds(graphs=True) <= seconds(graphs=False)

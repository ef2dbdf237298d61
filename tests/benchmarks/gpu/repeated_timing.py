"""Step time S of the same networks again and again: alone, beside a training, and in another process.

Each timing is the timing part of a trial as a worker runs it, with the device's lock. The neighbour trains on
the same GPU, and gives way as workers do.
"""

import multiprocessing
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.gpu.conditions import Conditions
from benchmarks.gpu.drawn_networks import drawn, space_of
from benchmarks.gpu.facts import ROOT
from benchmarks.gpu.figures import Row, several, variation
from benchmarks.gpu.made_up_images import data_config

from search_spaces.networks.architecture import Architecture
from search_spaces.settings.yaml_files import read_yaml
from trials.devices.device import available_slots
from trials.images.config import DataConfig
from trials.recipe import Ramp, Recipe
from trials.run_trial import start_worker
from trials.trial import RunTrial, TimingPart, Trial, TrialResult
from trials.worker_setup import WorkerSetup

NETWORKS, TIMINGS = 4, 5
FEWEST_ROUNDS = 2  # for a scatter
LOADS = ROOT / "tests" / "benchmarks" / "step_time_under_load.py"


@dataclass(frozen=True)
class Timed:
    """The result of a timing."""

    network: int
    ratio: float
    error: float
    flag: str | None
    seconds: float  # of the device
    waited: float


@dataclass(frozen=True)
class Order:
    """A timing to do, which goes to another process as it is."""

    data: DataConfig
    reference: Architecture
    architectures: tuple[Architecture, ...]
    recipe: Recipe
    timings: int


def measure(conditions: Conditions) -> Iterator[Row]:
    """Yields the scatter within each condition, and how far the others are off from the quiet one."""
    order = order_of(conditions)
    quiet = timed(order, conditions.seconds_left / 3)
    yield _row("alone", quiet, quiet)
    with neighbour(conditions):
        beside = timed(order, conditions.seconds_left / 2)
    yield _row("beside a training under the lock", beside, quiet)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        other = pool.apply(timed, (order, conditions.seconds_left))
    yield _row("alone, in another process", other, quiet)


def order_of(conditions: Conditions) -> Order:
    """Networks of the cifar space under the conditions of its trials."""
    return Order(
        data=data_config(conditions),
        reference=space_of(conditions).reference,
        architectures=tuple(drawn(conditions, conditions.sized(NETWORKS, 1))),
        recipe=read_yaml(Recipe, "proxy_cifar")
        if not conditions.rehearse
        else Recipe(epochs=1, batch_size=16, resolution=Ramp(16, 16), warmup_epochs=0),
        timings=conditions.sized(TIMINGS, 2),
    )


def timed(order: Order, seconds: float) -> list[Timed]:
    """All timings, one network after the other, in rounds; fewer rounds, but two, in less time."""
    deadline = time.monotonic() + seconds
    worker = start_worker(available_slots()[0], setup=WorkerSetup(data=order.data, reference=order.reference))
    found: list[Timed] = []
    last = 0.0  # seconds of a round
    for done in range(order.timings):
        started = time.monotonic()
        if done >= FEWEST_ROUNDS and started + last > deadline:
            break
        found += [_timing(worker, order, i) for i in range(len(order.architectures))]
        last = time.monotonic() - started
    return found


def _timing(worker: RunTrial, order: Order, network: int) -> Timed:
    trial = Trial(
        trial_id=network, choices=(), architecture=order.architectures[network], recipe=order.recipe,
        epochs=order.recipe.epochs, seed=1, is_timing_part=True,
    )  # fmt: skip
    *_, last = worker(trial)
    if not isinstance(last, TimingPart):
        assert isinstance(last, TrialResult), last
        raise RuntimeError(f"the timing ended as {last.status}: {last.error}")
    found = last.step_time
    return Timed(
        network, found.step_time_ratio, found.step_time_ratio_error or 0.0, found.flag, found.timing_seconds,
        last.times.waiting_seconds,
    )  # fmt: skip


@contextmanager
def neighbour(conditions: Conditions) -> Iterator[None]:
    """A process that trains on the same device as long as the block runs."""
    slot = available_slots()[0]
    words = ["--neighbour", "lock", "--device", slot.device, "--space", conditions.sized("cifar", "tiny")]
    words += ["--batch-size", "16", "--resolution", "16"] if conditions.rehearse else []
    words += ["--core", str(slot.core)] if slot.core is not None else []
    process = subprocess.Popen([sys.executable, str(LOADS), *words], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        if not process.stdout.readline():
            raise RuntimeError(f"the neighbour ended with exit code {process.wait()}")
        yield
    finally:
        process.kill()
        process.wait()


def _row(label: str, found: list[Timed], quiet: list[Timed]) -> Row:
    scatter = [variation(values) for values in ratios(found).values()]
    before = {network: statistics.median(values) for network, values in ratios(quiet).items()}
    shifts = [
        100 * (statistics.median(values) / before[network] - 1) for network, values in ratios(found).items()
    ]
    flagged = sum(each.flag is not None for each in found)
    largest = max(map(abs, shifts))
    return Row(
        label,
        {
            "S varies by, %, each network": several(scatter),
            "shift from alone, %": several(shifts) if found is not quiet else None,
            "error as told, %": several([100 * each.error for each in found]),
            "s a timing": several([each.seconds for each in found]),
            "s waited": several([each.waited for each in found]),
            "flagged": flagged,
        },
        f"S {label}: varies by {statistics.median(scatter):.2g} % (median of {len(scatter)} networks, n = "
        f"{len(found)} timings, {flagged} flagged)"
        + ("" if found is quiet else f"; off from alone by {largest:.2g} % at most"),
    )


def ratios(found: list[Timed]) -> dict[int, list[float]]:
    """The ratios by network."""
    by_network: dict[int, list[float]] = {}
    for each in found:
        by_network.setdefault(each.network, []).append(each.ratio)
    return by_network

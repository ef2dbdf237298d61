"""Checks of nas doctor --gpu: each GPU is looked at, and tried for some seconds."""

import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch

from analysis.numbers import percent
from nas.doctor.findings import Finding
from nas.doctor.gpu_probes import Measured, ProbeFailedError, run_probe
from search_spaces.choices.space import SearchSpace
from search_spaces.settings.yaml_files import read_yaml
from trials.devices.device_errors import WITHOUT_GRAPHS
from trials.devices.nvml import handle_of, opened_nvml
from trials.devices.visible_gpus import VARIABLE, name_of
from trials.recipe import Recipe
from trials.timing.gpu_clocks import watched_clocks
from trials.timing.precision import precision_of_trials

TOPIC, TIMING = "devices", "timing"
ALL_SECONDS = 110.0  # for all GPUs together
PROBE_SECONDS = 40.0  # for one probe at most, of which loading torch takes several
LEAST_SECONDS = 10.0  # with less left a probe is not begun
LOSS_OFF = 0.02  # between graph and eager steps, over the loss; the tests allow as much
APART_NOTE, APART_HINDERS = 0.01, 0.03  # of a step time ratio, taken twice
BUSY = 5  # percent of the time

Probe = Callable[..., Measured]


def gpu_findings(*, run: Probe = run_probe, seconds: float = ALL_SECONDS) -> Iterator[Finding]:
    """Yields what is seen of each GPU, and how it did when it was tried; one line where there is none."""
    deadline = time.monotonic() + seconds
    count = torch.cuda.device_count()
    if not count:
        yield Finding(TOPIC, "fine", "there is no GPU to try; trials run on the CPU")
    for i in range(count):
        device = torch.device("cuda", i)
        yield precision_finding(device)
        yield from others_findings(device)
        yield clock_finding(device)
    for i in range(count):
        yield from _tried(f"cuda:{i}", deadline, run)


def precision_finding(device: torch.device) -> Finding:
    """The precision of trials whose recipe says `auto`, and why it is that one."""
    reference, recipe = read_yaml(SearchSpace, "cifar").reference, read_yaml(Recipe, "proxy_cifar")
    chosen = precision_of_trials("auto", recipe, device, reference=reference)
    return Finding(TOPIC, "fine", f"{device} trials compute in {chosen.precision}: {chosen.why}")


def others_findings(device: torch.device) -> Iterator[Finding]:
    """Other processes on the device, as NVML reports them."""
    seen = _others(device)
    if seen is None:
        return
    processes, busy = seen
    if processes or busy > BUSY:
        yield Finding(
            TOPIC,
            "note",
            f"{device} others compute there (processes: {processes}), it is busy {busy} % of the time",
            "wait for them, or leave this GPU out (CUDA_VISIBLE_DEVICES)",
        )
    else:
        yield Finding(TOPIC, "fine", f"{device} nobody else computes there")


def _others(device: torch.device) -> tuple[int, int] | None:
    """Other processes that compute there, and how much of the time it is busy, in percent."""
    with opened_nvml() as nvml:
        handle = None if nvml is None else handle_of(nvml, device)
        if handle is None:
            return None
        try:
            numbers = [each.pid for each in nvml.nvmlDeviceGetComputeRunningProcesses(handle)]
        except nvml.NVMLError:
            return None
        try:
            busy = int(nvml.nvmlDeviceGetUtilizationRates(handle).gpu)
        except nvml.NVMLError:
            busy = 0  # of a slice of a GPU nobody counts it
    # In a container the numbers are the host's: once this process uses a GPU, one of them is its own.
    is_own = os.getpid() in numbers or torch.cuda.is_initialized()
    return max(len(numbers) - is_own, 0), busy


def clock_finding(device: torch.device) -> Finding:
    """Finding on the clock: can it be read while a step is timed?"""
    with watched_clocks(device) as clocks:
        clocks.sample()
    if clocks.median_mhz is None:
        return Finding(
            TIMING,
            "note",
            f"{device} its clock cannot be read: a timing under a changing clock is not flagged",
            "pip install -e '.[gpu]'; in a container also NVIDIA_DRIVER_CAPABILITIES=compute,utility",
        )
    return Finding(
        TIMING, "fine", f"{device} clock {clocks.median_mhz:.0f} MHz, watched while steps are timed"
    )


def _tried(device: str, deadline: float, run: Probe) -> Iterator[Finding]:
    """The findings of all probes of a device, as long as there is time."""
    graphs = True
    for name, (finding, failed) in PROBES.items():
        if name == "steps" and not graphs:
            continue
        left = deadline - time.monotonic()
        if left < LEAST_SECONDS:
            alone = name_of(torch.device(device).index)
            yield Finding(
                TOPIC,
                "note",
                f"{device} was not tried to the end ({name}): the time was over",
                f"{VARIABLE}={alone} nas doctor --gpu",
            )
            return
        try:
            yield finding(device, run(name, device, seconds=min(left, PROBE_SECONDS), graphs=graphs))
        except ProbeFailedError as error:
            yield failed(device, str(error))
            graphs = graphs and name != "graph"  # step time can be measured without graphs
            if name == "copies":
                return


def _copies(device: str, measured: Measured) -> Finding:
    rate = measured["bytes_per_second"] / 1e9
    return Finding(TOPIC, "fine", f"{device} copies {rate:,.0f} GB/s in its memory")


def _graph(device: str, measured: Measured) -> Finding:
    return Finding(TOPIC, "fine", f"{device} CUDA graphs are captured and replayed")


def _steps(device: str, measured: Measured) -> Finding:
    off, steps = measured["loss_difference"], measured["steps"]
    words = f"{device} {steps} training steps as a graph and eagerly: losses {off:.1e} apart"
    if measured["mode"] == "eager":
        return Finding(
            TOPIC, "note", f"{device} the environment forbids CUDA graphs", f"unset {WITHOUT_GRAPHS}"
        )
    if off > LOSS_OFF * measured["loss"]:
        return Finding(TOPIC, "hinders", words, f"search without graphs: {WITHOUT_GRAPHS} nas search …")
    return Finding(TOPIC, "fine", words)


def _timing(device: str, measured: Measured) -> Finding:
    ratios, milliseconds = measured["ratios"], 1000 * measured["seconds"][0]
    apart = max(ratios) / min(ratios) - 1
    words = (
        f"{device} step time of one network ({milliseconds:.2f} ms, {measured['precision']}), taken "
        f"{len(ratios)} times: {percent(apart, digits=1)} apart"
    )
    if measured["flags"]:
        words += f"; flagged: {', '.join(measured['flags'])}"
    level: Any = (
        "hinders" if apart > APART_HINDERS else "note" if apart > APART_NOTE or measured["flags"] else "fine"
    )
    advice = "" if level == "fine" else "see that nobody else uses it, that it is cool, and look again"
    return Finding(TIMING, level, words, advice)


def _failing(topic: str, what: str, advice: str) -> Callable[[str, str], Finding]:
    return lambda device, error: Finding(topic, "hinders", f"{device} {what}: {error}", advice)


WITHOUT = f"{WITHOUT_GRAPHS} in the environment does without; update the driver, or torch"
BROKEN = "look at dmesg for Xid errors, restart the machine, or leave this GPU out (CUDA_VISIBLE_DEVICES)"
PROBES: dict[str, tuple[Callable[[str, Measured], Finding], Callable[[str, str], Finding]]] = {
    "copies": (_copies, _failing(TOPIC, "does not compute", BROKEN)),
    "graph": (_graph, _failing(TOPIC, "no CUDA graph can be captured", WITHOUT)),
    "steps": (_steps, _failing(TOPIC, "a training step fails", BROKEN)),
    "timing": (_timing, _failing(TIMING, "step time cannot be taken", BROKEN)),
}

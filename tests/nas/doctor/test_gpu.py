"""nas doctor --gpu: what it makes of GPUs of every kind, and its probes on the CPU."""

import json
import os
import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from conftest import Nas
from made_up_nvml import GPU, SLICE, SLICED, MadeUpNvml, made_up_nvml

from nas.doctor import gpu_probes
from nas.doctor.findings import Finding
from nas.doctor.gpu import gpu_findings
from nas.doctor.gpu_probes import ProbeFailedError, copy_bandwidth, graph, run_probe, steps, timing
from trials.devices.device_errors import WITHOUT_GRAPHS
from trials.devices.visible_gpus import VARIABLE

CPU = torch.device("cpu")
GOOD: dict[str, dict[str, Any]] = {
    "copies": {"bytes_per_second": 4.1e12},
    "graph": {"replays": 3},
    "steps": {"mode": "graph", "steps": 10, "loss_difference": 1e-4, "loss": 2.3},
    "timing": {"ratios": [0.800, 0.804], "seconds": [0.004], "flags": [], "precision": "bf16"},
}


def driver(*others: int, busy: int = 0, own: int | None = None) -> MadeUpNvml:
    """NVML of GPUs, with these other processes on them."""
    return made_up_nvml(pids=(own or os.getpid(), *others), busy=busy)


@pytest.fixture
def one_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU of capability 9.0, whose driver tells all."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid=GPU))
    monkeypatch.setitem(sys.modules, "pynvml", driver())


class Probes:
    """Probes with given results; what is an exception is raised. Keeps what was run, and how."""

    def __init__(self, **changed: Any) -> None:
        self.results = {**GOOD, **changed}
        self.graphs: dict[str, bool] = {}

    def __call__(self, name: str, device: str, *, seconds: float, graphs: bool) -> Any:
        self.graphs[name] = graphs
        result = self.results[name]
        if isinstance(result, Exception):
            raise result
        return result


def found(**changed: Any) -> list[Finding]:
    return list(gpu_findings(run=Probes(**changed)))


def with_word(findings: list[Finding], word: str) -> Finding:
    (one,) = [finding for finding in findings if word in finding.text]
    return one


@pytest.mark.usefixtures("one_gpu")
def test_a_gpu_in_order_is_looked_at_and_tried() -> None:
    findings = found()
    assert {finding.level for finding in findings} == {"fine"}
    texts = [finding.text.removeprefix("cuda:0 ") for finding in findings]
    assert texts == [
        "trials compute in bf16: sm_90 has it in hardware",
        "nobody else computes there",
        "clock 1980 MHz, watched while steps are timed",
        "copies 4,100 GB/s in its memory",
        "CUDA graphs are captured and replayed",
        "10 training steps as a graph and eagerly: losses 1.0e-04 apart",
        "step time of one network (4.00 ms, bf16), taken 2 times: 0.5 % apart",
    ]


@pytest.mark.usefixtures("one_gpu")
def test_other_processes_and_a_silent_driver_are_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", driver(7, 8, busy=90))
    assert "(processes: 2), it is busy 90 %" in with_word(found(), "others compute").text
    # A container, in which this process has another number than the driver's.
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setitem(sys.modules, "pynvml", driver(own=2**22 + 1))
    assert with_word(found(), "nobody else computes").level == "fine"
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert with_word(found(), "clock cannot be read").level == "note"


@pytest.mark.usefixtures("one_gpu")
def test_a_slice_of_a_gpu_is_looked_at_though_nobody_counts_how_busy_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(VARIABLE, f"MIG-{SLICE}")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid=SLICED))
    monkeypatch.setitem(sys.modules, "pynvml", driver(7))
    assert "(processes: 1), it is busy 0 %" in with_word(found(), "others compute").text
    assert with_word(found(), "clock 1980 MHz").level == "fine"


@pytest.mark.usefixtures("one_gpu")
def test_precision_follows_from_what_the_gpu_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 0))
    assert with_word(found(), "trials compute in fp16: sm_70 has no bf16").level == "fine"


@pytest.mark.usefixtures("one_gpu")
def test_where_no_graph_can_be_captured_step_time_is_tried_without() -> None:
    probes = Probes(graph=ProbeFailedError("CUDA error: not permitted"))
    findings = list(gpu_findings(run=probes))
    finding = with_word(findings, "no CUDA graph can be captured: CUDA error: not permitted")
    assert (finding.level, WITHOUT_GRAPHS in finding.advice) == ("hinders", True)
    assert probes.graphs == {"copies": True, "graph": True, "timing": False}


@pytest.mark.usefixtures("one_gpu")
def test_a_gpu_that_does_not_compute_is_tried_no_further() -> None:
    probes = Probes(copies=ProbeFailedError("no answer within 40 s"))
    assert list(gpu_findings(run=probes))[-1].level == "hinders"
    assert list(probes.graphs) == ["copies"]


@pytest.mark.usefixtures("one_gpu")
def test_what_there_is_no_time_for_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    probes = Probes()
    last = list(gpu_findings(run=probes, seconds=1.0))[-1]
    assert (last.level, probes.graphs) == ("note", {})
    assert last.advice == "CUDA_VISIBLE_DEVICES=0 nas doctor --gpu"
    monkeypatch.setenv(VARIABLE, "5")  # the GPU that is cuda:0 for this process
    last = list(gpu_findings(run=Probes(), seconds=1.0))[-1]
    assert last.advice == "CUDA_VISIBLE_DEVICES=5 nas doctor --gpu"


@pytest.mark.usefixtures("one_gpu")
@pytest.mark.parametrize(
    ("name", "changes", "word", "level"),
    [
        ("steps", {"loss_difference": 0.1}, "losses 1.0e-01 apart", "hinders"),
        ("steps", {"mode": "eager"}, "forbids CUDA graphs", "note"),
        ("timing", {"ratios": [0.80, 0.815]}, "1.9 % apart", "note"),
        ("timing", {"ratios": [0.80, 0.88]}, "10.0 % apart", "hinders"),
        ("timing", {"flags": ["power brake"]}, "flagged: power brake", "note"),
    ],
)
def test_probes_are_judged_by_their_figures(
    name: str, changes: dict[str, Any], word: str, level: str
) -> None:
    assert with_word(found(**{name: {**GOOD[name], **changes}}), word).level == level


# ---------------------------------------------------------------------- probes, on the CPU


@pytest.mark.usefixtures("as_a_worker")
def test_probes_measure_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_probes, "COPY_SECONDS", 0.0)
    monkeypatch.setattr(gpu_probes, "STEP_BATCH", 4)
    assert copy_bandwidth(CPU, size=1 << 16) > 0
    assert graph(CPU) == {"replays": 3}
    curves = steps(CPU, space="tiny", number=2)
    assert (curves["mode"], curves["loss_difference"], curves["weights_difference"]) == ("eager", 0, 0)
    times = timing(CPU, space="tiny", network="tests/benchmarks/paper/toy.yaml")
    assert len(times["ratios"]) == gpu_probes.TIMINGS
    assert min(times["ratios"]) > 0


def test_a_probe_runs_in_a_process_of_its_own() -> None:
    assert run_probe("graph", "cpu", seconds=300) == {"replays": 3}


def test_a_probe_that_fails_says_why_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match=r"^RuntimeError: .*nowhere") as ended:
        gpu_probes.main(["graph", "nowhere"])
    assert "\n" not in str(ended.value)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(ProbeFailedError, match="exit code 1"):
        run_probe("graph", "cpu", seconds=60)
    monkeypatch.setattr(sys, "executable", "/bin/true")
    with pytest.raises(ProbeFailedError, match="said nothing"):
        run_probe("graph", "cpu", seconds=60)


# ---------------------------------------------------------------------- the command


def test_without_a_gpu_the_command_says_so_and_finds_no_fault(
    nas: Nas, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    if os.path.exists("/proc/driver/nvidia/version"):
        pytest.skip("a driver is loaded, which torch not seeing a GPU would be a fault of")
    code, printed, _ = nas("doctor", "--gpu", "--json")
    figures = json.loads(printed)
    assert (code, figures["hinders"]) == (0, 0)
    assert figures["findings"][-1]["text"] == "there is no GPU to try; trials run on the CPU"
    assert {finding["topic"] for finding in figures["findings"]} == {"versions", "devices"}


def test_images_are_not_looked_at_with_gpus(nas: Nas) -> None:
    code, _, said = nas("doctor", "images", "--gpu")
    assert (code, "leave out DATA" in said) == (2, True)

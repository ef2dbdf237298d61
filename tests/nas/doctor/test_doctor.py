"""nas doctor: what it makes of machines of every kind, and a look at this one."""

import io
import itertools
import json
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import Nas
from rich.console import Console

from nas.doctor import machine
from nas.doctor.checks import (
    device_findings,
    disk_finding,
    kernels_finding,
    memory_finding,
    port_findings,
    room_findings,
)
from nas.doctor.findings import Finding, examination, verdict
from nas.doctor.timing import (
    clock_findings,
    clock_tick,
    core_findings,
    neighbour_finding,
    spread_finding,
    timing_findings,
)
from nas.screens.doctor import doctor_screen

CPU = "sys/devices/system/cpu"


def computer(folder: Path, files: dict[str, str]) -> Path:
    """A root folder in which /proc and /sys hold these files."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text + "\n")
    return folder


def levels(findings: Any) -> list[str]:
    return [finding.level for finding in findings]


# ---------------------------------------------------------------------- cores and clocks


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({}, None),
        ({"sys/fs/cgroup/cpu.max": "max 100000"}, None),
        ({"sys/fs/cgroup/cpu.max": "150000 100000"}, 1.5),
        ({"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"}, None),
        (
            {"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "400000", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"},
            4.0,
        ),
    ],
)
def test_the_quota_of_a_container_is_read_in_both_versions(
    tmp_path: Path, files: dict[str, str], quota: float | None
) -> None:
    assert machine.cpu_quota(computer(tmp_path, files)) == quota


def test_a_quota_below_the_cores_hinders_and_says_how_many_workers_fit(tmp_path: Path) -> None:
    stat = "nr_periods 100\nnr_throttled 37\nthrottled_usec 5"
    root = computer(tmp_path, {"sys/fs/cgroup/cpu.max": "250000 100000", "sys/fs/cgroup/cpu.stat": stat})
    first, second = core_findings([0, 1, 2, 3], root=root)
    assert (first.level, second.level) == ("hinders", "note")
    assert "--workers 2" in first.advice
    assert "37 times" in second.text
    assert levels(core_findings([0, 1], root=root)) == ["fine", "note"]


def test_second_threads_of_a_core_are_noted(tmp_path: Path) -> None:
    siblings = {0: "0,2", 1: "1,3", 2: "0,2", 3: "1,3"}
    files = {f"{CPU}/cpu{i}/topology/thread_siblings_list": text for i, text in siblings.items()}
    found = list(core_findings([0, 1, 2, 3], root=computer(tmp_path, files)))
    assert levels(found) == ["fine", "note"]
    assert found[1].text.startswith("2 of 4 cores")
    assert levels(core_findings([0, 1], root=tmp_path)) == ["fine"]


def test_governors_heat_and_slow_or_coarse_clocks_are_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "thread_time", itertools.count(step=1e-6).__next__)
    quiet = computer(tmp_path / "a", {f"{CPU}/cpu0/cpufreq/scaling_governor": "performance"})
    assert levels(clock_findings([0], root=quiet)) == ["fine", "fine"]
    files = {
        f"{CPU}/cpu0/cpufreq/scaling_governor": "powersave",
        f"{CPU}/cpu0/thermal_throttle/core_throttle_count": "12",
        "sys/devices/system/clocksource/clocksource0/current_clocksource": "hpet",
    }
    found = list(clock_findings([0], root=computer(tmp_path / "b", files)))
    assert levels(found) == ["note", "fine", "note", "note"]
    monkeypatch.setattr(time, "thread_time", itertools.count(step=0.004).__next__)
    assert levels(clock_findings([0], root=quiet)) == ["hinders", "fine"]
    assert [
        word in finding.text for word, finding in zip(("hpet", "", "powersave", "12"), found, strict=True)
    ]


def test_smallest_step_of_a_clock_is_found_though_readings_are_interrupted() -> None:
    readings = (i // 5 * 1e-4 + i // 25 * 7e-4 for i in itertools.count())  # now and then somebody interrupts
    assert clock_tick(readings.__next__) == pytest.approx(1e-4)


# ---------------------------------------------------------------------- neighbours


def stat(number: int, name: str, user: int, system: int) -> str:
    return f"{number} ({name}) S 1 1 1 0 -1 0 0 0 0 0 {user} {system} 0 0 20 0 1 0 0 0 0"


def test_load_of_other_processes_is_seen_without_that_of_this_one(tmp_path: Path) -> None:
    names = {"proc/7/stat": (7, "own"), "proc/8/stat": (8, "a (odd) name"), "proc/9/stat": (9, "idle")}
    before = {path: stat(*named, 100, 0) for path, named in names.items()}
    before["proc/stat"] = "cpu  1000 0 0 3000 0 0 0 0 0 0\ncpu0 500 0 0 1500 0 0 0 0 0 0"
    first = machine.core_times(computer(tmp_path, before))
    after = {
        "proc/7/stat": stat(7, "own", 150, 0),
        "proc/8/stat": stat(8, "a (odd) name", 140, 40),
        "proc/stat": "cpu  1130 0 0 3060 0 0 0 10 0 0",
    }
    second = machine.core_times(computer(tmp_path, after))
    assert first is not None
    assert second is not None
    seen = machine.neighbours(first, second, cores=2, own=7)
    assert seen.busy == pytest.approx(0.8)  # 130 of 100 ticks for a core, less 50 of its own
    assert seen.stolen == pytest.approx(0.1)
    assert seen.names[0] == ("a (odd) name", pytest.approx(0.8))


@pytest.mark.parametrize(
    ("busy", "stolen", "level"),
    [(0.05, 0, "fine"), (0.5, 0, "note"), (1.5, 0, "hinders"), (0, 0.06, "note"), (0, 0.5, "hinders")],
)
def test_neighbours_are_noted_or_hinder_by_how_much_they_take(busy: float, stolen: float, level: str) -> None:
    found = neighbour_finding(machine.Neighbours(busy, stolen, (("python", busy),)), cores=2)
    assert found.level == level
    assert bool(found.advice) == (level != "fine")


def test_equal_work_of_varying_duration_is_noted() -> None:
    assert spread_finding([0.003] * 60).level == "fine"
    assert spread_finding([0.003] * 40 + [0.0033] * 20).level == "note"
    assert spread_finding([0.003] * 40 + [0.006] * 20).level == "hinders"


def test_findings_on_cores_are_mere_notes_where_gpus_are_timed(tmp_path: Path) -> None:
    root = computer(tmp_path, {"sys/fs/cgroup/cpu.max": "100000 100000"})
    assert next(timing_findings([0, 1], on_gpus=False, root=root)).level == "hinders"
    assert next(timing_findings([0, 1], on_gpus=True, root=root)).level == "note"


# ---------------------------------------------------------------------- room, devices, data


def test_little_memory_and_little_disk_are_found() -> None:
    assert levels(memory_finding(n << 30, workers=2) for n in (1, 3, 8)) == ["hinders", "note", "fine"]
    assert memory_finding(3 << 30, workers=2).advice.startswith("nas search … --workers 1")
    assert memory_finding(None, workers=2).level == "fine"
    assert levels(disk_finding(free, "/", ["runs"]) for free in (0.5, 5, 500)) == ["hinders", "note", "fine"]
    assert list(room_findings())


def test_a_driver_without_a_torch_for_it_hinders(tmp_path: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("torch sees the GPU")
    assert levels(device_findings(root=tmp_path)) == ["fine"]
    root = computer(tmp_path, {"proc/driver/nvidia/version": "NVRM version: 580"})
    assert levels(device_findings(root=root)) == ["fine", "hinders"]


def test_port_where_ray_listens_is_found() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        (found,) = port_findings(port)
    assert (found.level, "--ray-address auto" in found.text) == ("fine", True)
    assert list(port_findings(port)) == []


# ---------------------------------------------------------------------- what is shown


FINDINGS = [
    Finding("versions", "fine", "Python 3.11.7"),
    Finding("timing", "note", "the same 3 ms of work " * 6, "look again when it is quiet " * 4),
    Finding("disk", "hinders", "0 GB free", "make room"),
    Finding("timing", "fine", "clock tsc"),
]


def test_doctor_screen_fits_80_columns_and_keeps_topics_together() -> None:
    console = Console(file=io.StringIO(), width=80, highlight=False)
    console.print(doctor_screen(examination(FINDINGS)))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert max(map(len, lines)) <= 80
    assert [line.split()[0] for line in lines if line[:1].strip()] == ["versions", "timing", "disk", "1"]
    assert lines[-1].startswith("1 thing to mend before a search; timings are worth a second look")


def test_verdict_on_a_machine_tells_searches_from_timings() -> None:
    assert verdict(FINDINGS[:1]) == "searches run here; timings can be trusted here"
    assert verdict([Finding("timing", "hinders", "x")]) == "searches run here; do not trust timings here"
    found = examination(FINDINGS)
    assert (found.hinders, found.notes) == (1, 1)


def test_doctor_command_looks_at_every_topic_of_this_machine(nas: Nas, one_ray: None) -> None:
    code, printed, _ = nas("doctor", "nowhere", "--json")
    figures = json.loads(printed)
    topics = {finding["topic"] for finding in figures["findings"]}
    assert topics == {"versions", "devices", "kernels", "timing", "memory", "disk", "data", "ray"}
    (data,) = [finding for finding in figures["findings"] if finding["topic"] == "data"]
    assert (data["level"], "nowhere" in data["text"]) == ("hinders", True)
    assert (code, figures["hinders"] >= 1) == (1, True)


def test_a_missing_compiler_is_said_with_what_to_install() -> None:
    assert kernels_finding(None).level == "fine"
    missing = kernels_finding("no C++ compiler (g++, c++, clang++)")
    assert (missing.level, "g++" in missing.advice) == ("note", True)
    assert kernels_finding("NAS_FUSED_KERNELS=0").advice == ""

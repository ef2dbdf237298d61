"""A real GPU: faults that end a process and no search, its names and clock, two workers, stages resumed."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
import torch
from places import REPOSITORY
from small_networks import SMALL
from small_trials import DIGITS, RECIPE

from trials.devices.device_errors import WITHOUT_GRAPHS
from trials.devices.nvml import driver_version, gpu_id
from trials.devices.visible_gpus import visible_slices
from trials.images.device_images import ResidentImages
from trials.images.packed import open_images
from trials.recipe import Ramp
from trials.timing.gpu_clocks import watched_clocks
from trials.training.step import TrainingStep, build_step
from trials.training.train import EpochEnd, train

on_a_gpu = pytest.mark.gpu
# What a CPU can do, too, is tried there: these tests themselves are seen to run.
GPU = pytest.param("cuda:0", marks=on_a_gpu)


def started(name: str, device: str = "cuda:0") -> "subprocess.Popen[str]":
    paths = os.pathsep.join(str(REPOSITORY / folder) for folder in ("", "tests", "tests/fixtures"))
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    environment.pop(WITHOUT_GRAPHS.partition("=")[0], None)
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "gpu_faults", name, device],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def became(process: "subprocess.Popen[str]") -> dict[str, Any]:
    out, err = process.communicate(timeout=600)
    assert out.strip(), err[-3000:]  # after a fault of the device its end may be no good one
    found: dict[str, Any] = json.loads(out.splitlines()[-1])
    return found


@on_a_gpu
def test_a_real_capture_that_fails_costs_the_process_and_the_trial_runs_without_graphs() -> None:
    failed = became(started("waiting_inside_the_step"))
    assert failed["results"][0][:2] == ["crashed", "worker_lost"]
    assert (failed["of_capture"], failed["device_failed"], failed["lock"]) == (True, False, None)
    again = became(started("waiting_without_graphs"))
    assert (again["results"][0][:3], again["fault"]) == (["completed", None, "eager"], None)


@on_a_gpu
def test_a_real_illegal_access_loses_the_worker_and_no_later_process() -> None:
    failed = became(started("outside_the_memory"))
    assert failed["results"][0][0] == "completed"
    assert failed["results"][1][:2] == ["crashed", "worker_lost"]
    assert (failed["of_capture"], failed["device_failed"], failed["lock"]) == (False, True, None)
    assert "CUDA error" in failed["fault"]
    assert became(started("healthy"))["fault"] is None


@pytest.mark.parametrize("device", [pytest.param("cpu", marks=pytest.mark.nightly), GPU])
def test_two_workers_on_one_device_complete_their_trials(device: str) -> None:
    for process in [started("healthy", device) for _ in range(2)]:
        found = became(process)
        assert [status for status, *_ in found["results"]] == ["completed"] * 2
        assert (found["fault"], found["lock"]) == (None, None)


@on_a_gpu
def test_nvml_knows_the_gpu_by_the_id_of_its_lock_and_reads_its_clock() -> None:
    pytest.importorskip("pynvml")
    device = torch.device("cuda:0")
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True).stdout
    uuids = re.findall(r"UUID: (?:GPU-)?([\w-]+)\)", listed)
    assert gpu_id(device) in uuids
    assert gpu_id(device).startswith("MIG-") == torch.cuda.get_device_name(device).count("MIG")
    assert not visible_slices() or gpu_id(device).startswith("MIG-")
    assert driver_version()
    with watched_clocks(device) as clocks:
        for _ in range(3):
            clocks.sample()
    assert len(clocks.mhz) == 3
    assert 100 < (clocks.median_mhz or 0) < 5000


@pytest.mark.parametrize("device", ["cpu", GPU])
def test_a_training_of_several_sizes_that_is_resumed_goes_on_as_it_would_have(device: str) -> None:
    growing = replace(
        RECIPE,
        epochs=3,
        num_training_stages=3,
        resolution=Ramp(8, 24),
        dropout=Ramp(0.1, 0.3),
        mixup=Ramp(0, 0.2),
    )
    images: dict[int, ResidentImages] = {}

    def images_at(resolution: int) -> ResidentImages:
        if resolution not in images:
            packed = open_images(DIGITS, resolution=resolution)
            images[resolution] = ResidentImages(packed, torch.device(device))
        return images[resolution]

    def step() -> TrainingStep:
        torch.manual_seed(0)
        return build_step(SMALL, growing, num_classes=10, device=torch.device(device), precision="fp32")

    def ends(of: TrainingStep, first_epoch: int, until: int) -> list[float]:
        losses = []
        told = train(of, growing, images_at=images_at, epochs=3, seed=5, first_epoch=first_epoch)
        for event in told:
            if isinstance(event, EpochEnd):
                losses.append(event.train_loss)
                if event.epoch == until:
                    break
        told.close()  # type: ignore[attr-defined]
        return losses

    whole = step()
    losses = ends(whole, 0, 3)
    begun, resumed = step(), step()
    ends(begun, 0, 1)
    resumed.load(begun.state())
    assert ends(resumed, 1, 3) == pytest.approx(losses[1:], rel=1e-2)
    assert sorted(images) == [8, 16, 24]

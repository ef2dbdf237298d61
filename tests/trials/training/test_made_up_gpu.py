"""The code for GPUs, run on a made-up one: nothing waits or lies elsewhere, and no step grows unseen."""

import json
import os
import subprocess
import sys

import pytest
from made_up_gpu.building import KEPT, NoCompilerError, build
from places import REPOSITORY

FEW = 1.02  # versions of torch dispatch a little more or less

Figures = dict[str, dict[str, float]]


@pytest.fixture(scope="module")
def figures() -> Figures:
    """The figures that a process with the made-up device has counted."""
    return reported()


@pytest.fixture(scope="module")
def all_figures() -> Figures:
    """Figures of more sizes, too."""
    return reported("all")


def reported(*words: str) -> Figures:
    """Figures that the process prints."""
    try:
        library = build(KEPT)
    except NoCompilerError as error:
        pytest.skip(f"the made-up GPU is not built: {error}")
    paths = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "tests" / "fixtures")])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "made_up_gpu.report", str(library), *words],
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: Figures = json.loads(done.stdout.splitlines()[-1])
    return found


# Upper bounds: as they were measured on torch 2.13. Who makes a step cheaper lowers them.
BOUNDS = {
    "step of efficientnetv2-b0, 32 px": {"operators": 862, "kernels": 1250, "over_roofline": 3.41},
    "step of a small network in fp16": {"operators": 226, "kernels": 252},
    "step of a small network by sgd in fp16": {"operators": 185, "kernels": 211},
    "step of a small network by adamw in fp16": {"operators": 187, "kernels": 213},
    "step of a deep network by muon in fp16": {"operators": 600, "kernels": 658},
    "evaluation of efficientnetv2-b0, 32 px": {"operators": 410, "bytes": 0.50e9},
    "statistics of efficientnetv2-b0, 32 px": {"operators": 556, "bytes": 0.52e9},
    "copying the state of efficientnetv2-b0": {"operators": 7},
    "loading the state of efficientnetv2-b0": {"operators": 8},
    "step of efficientnetv2-b0, 32 px, own kernels": {
        "operators": 499, "kernels": 652, "over_roofline": 2.04,
    },
    "evaluation of efficientnetv2-b0, 32 px, own kernels": {"kernels": 341, "bytes": 0.33e9},
    "statistics of efficientnetv2-b0, 32 px, own kernels": {"operators": 368, "kernels": 390},
    "augmentation, batch 256, 300 px": {"operators": 823, "bytes": 38.1e9, "largest_result": 0.28e9},
    "augmentation by own kernels, batch 256, 300 px": {
        "operators": 438, "bytes": 0.95e9, "largest_result": 0.07e9,
    },
}  # fmt: skip
NIGHTLY_BOUNDS = {
    "step of efficientnetv2-s, 300 px, own kernels": {
        "operators": 897,
        "kernels": 1454,
        "over_roofline": 1.29,
    },
    "step of 4 networks of cifar, 32 px, mean, own kernels": {"operators": 190, "kernels": 298},
    "step of efficientnetv2-b0 by muon in fp16": {"operators": 1397, "kernels": 1549},
    "step of efficientnetv2-s, 300 px": {"operators": 1607, "kernels": 2334, "over_roofline": 2.26},
    "step of 4 networks of cifar, 32 px, mean": {"operators": 327, "kernels": 463},
}


@pytest.mark.parametrize("work", BOUNDS)
def test_work_on_a_gpu_takes_no_more_operators_kernels_and_bytes_than_it_did(
    work: str, figures: Figures
) -> None:
    """That it ran at all shows that no tensor was elsewhere, no shape depended on data, no host waited."""
    within(BOUNDS[work], figures, work)


@pytest.mark.nightly
@pytest.mark.parametrize("work", NIGHTLY_BOUNDS)
def test_larger_work_takes_no_more_than_it_did(work: str, all_figures: Figures) -> None:
    within(NIGHTLY_BOUNDS[work], all_figures, work)


def within(bounds: dict[str, float], figures: Figures, work: str) -> None:
    """Asserts that the figures are below their bounds, and not so far that these are of no use."""
    for name, bound in bounds.items():
        assert figures[work][name] <= bound * FEW, f"{name} of {work}"
        assert figures[work][name] >= bound / 2, f"{name} of {work}: lower the bound"


def test_the_made_up_gpu_notices_what_it_is_for(figures: Figures) -> None:
    assert "a wait of the host" in figures
    assert "a tensor on the CPU" in figures

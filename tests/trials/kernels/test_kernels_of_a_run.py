"""A run's processes compute with the kernels that it has begun with, or refuse."""

import subprocess
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from small_networks import SMALL

from search_spaces.settings.config_error import ConfigError
from trials.images.config import DataConfig
from trials.kernels.choice import kernels_on, use_fused
from trials.kernels.cpu_library import why_not
from trials.timing import step_memory
from trials.worker_setup import WorkerSetup

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def fused_again() -> Iterator[None]:
    yield
    use_fused(True)


def test_a_host_without_kernels_does_not_join_a_run_that_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    setup = WorkerSetup(data=DataConfig(source="digits"), reference=SMALL, kernels="fused")
    monkeypatch.setenv("NAS_FUSED_KERNELS", "0")
    with pytest.raises(ConfigError, match="which this host lacks: NAS_FUSED_KERNELS=0"):
        setup.use_kernels(CPU)
    replace(setup, kernels="torch").use_kernels(CPU)
    assert kernels_on(CPU, "fp32", record=None) == "torch"


@pytest.mark.skipif(why_not() is not None, reason=f"no fused kernels: {why_not()}")
def test_step_memory_of_a_run_with_torchs_kernels_is_measured_with_those(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    environments: list[dict[str, str]] = []

    def run(command: list[str], *, env: dict[str, str], **kwargs: object) -> object:
        environments.append(env)
        return subprocess.CompletedProcess(command, 0, '{"bytes": 1, "out_of_memory": null}', "")

    monkeypatch.setattr(step_memory.subprocess, "run", run)
    for used in (True, False):
        use_fused(used)
        step_memory.cpu_step_memory(SMALL, num_classes=2, batch_size=2, resolution=32, precision="fp32")
    assert [env.get("NAS_FUSED_KERNELS") for env in environments] == [None, "0"]

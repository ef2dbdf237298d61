"""Whether CUDA's multi-process service is found, and what is said where several workers share a GPU."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nas.commands.launch import shared_gpu_words
from trials.devices.mps import START, VARIABLE, mps_runs


@pytest.fixture
def pid_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    return tmp_path / "nvidia-cuda-mps-control.pid"


def test_mps_daemon_that_lives_is_found(pid_file: Path) -> None:
    pid_file.write_text(f"{os.getpid()}\n")
    assert mps_runs()


def test_mps_daemon_that_died_is_not_found(pid_file: Path) -> None:
    died = subprocess.Popen([sys.executable, "-c", ""])
    died.wait()
    pid_file.write_text(str(died.pid))
    assert not mps_runs()


@pytest.mark.parametrize("text", ["", "no number", "9" * 30])
def test_mps_file_that_names_no_process_is_no_daemon(pid_file: Path, text: str) -> None:
    pid_file.write_text(text)
    assert not mps_runs()


def test_without_its_file_there_is_no_mps_daemon(pid_file: Path) -> None:
    assert not mps_runs()


def test_workers_that_share_a_gpu_without_mps_are_told_how_to_start_it(pid_file: Path) -> None:
    assert START in shared_gpu_words(2, gpus=1)
    assert shared_gpu_words(1, gpus=1) == shared_gpu_words(2, gpus=0) == ""
    pid_file.write_text(str(os.getpid()))
    assert "at once" in shared_gpu_words(2, gpus=1)

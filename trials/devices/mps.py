"""Detects CUDA's multi-process service (MPS), with which processes on one GPU compute at the same time.

Without it they compute in turns. CUDA uses the service by itself wherever it finds the folder of its pipes.
"""

import os
from pathlib import Path

FOLDER = "/tmp/nvidia-mps"  # the default, where VARIABLE is not set
VARIABLE = "CUDA_MPS_PIPE_DIRECTORY"
START = "nvidia-cuda-mps-control -d"


def mps_runs() -> bool:
    """True if the service's control daemon runs on this host and this process would find it."""
    pid_file = Path(os.environ.get(VARIABLE) or FOLDER) / "nvidia-cuda-mps-control.pid"
    try:
        os.kill(int(pid_file.read_text()), 0)
    except PermissionError:  # it runs, for another user
        return True
    except (OSError, ValueError, OverflowError):
        return False
    return True

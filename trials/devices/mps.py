"""CUDA's multi-process service: where it runs, processes on one GPU compute at once, elsewhere in turns.

A process uses it of itself, by the folder of its pipes; all that is to do is to say whether it is there.
"""

import os
from pathlib import Path

FOLDER = "/tmp/nvidia-mps"  # unless the variable names another
VARIABLE = "CUDA_MPS_PIPE_DIRECTORY"
START = "nvidia-cuda-mps-control -d"


def mps_runs() -> bool:
    """Whether its control daemon lives on this host, as this process would find it."""
    pid_file = Path(os.environ.get(VARIABLE) or FOLDER) / "nvidia-cuda-mps-control.pid"
    try:
        os.kill(int(pid_file.read_text()), 0)
    except PermissionError:  # it lives, and is somebody else's
        return True
    except (OSError, ValueError, OverflowError):
        return False
    return True

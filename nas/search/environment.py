"""What a search runs on: versions and devices, recorded at every start of a driver."""

import hashlib
import json
import platform
import socket
import sys
from datetime import UTC, datetime
from typing import Any

import torch

from trials.devices.device import available_cores, cpu_name
from trials.devices.versions import installed_version
from trials.log.store import RunStore
from trials.timing.gpu_clocks import driver_version

STARTS = "[0-9][0-9][0-9][0-9].json"  # of environment/: one for each start of a driver
PACKAGES = (
    "training-aware-nas",
    "torch",
    "ray",
    "optuna",
    "numpy",
    "pandas",
    "pyarrow",
    "pydantic",
    "pillow",
)


def describe_environment() -> dict[str, Any]:
    """Versions, host and devices; `environment_id` is the same wherever all of them are the same."""
    versions = {name: installed_version(name) for name in PACKAGES}
    facts: dict[str, Any] = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": versions,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version() if torch.cuda.is_available() else None,
        "driver": driver_version(),
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        "memory_format": "channels_last",
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "cpu": cpu_name(),
        "cores": len(available_cores()),
        "host": socket.gethostname(),
    }
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
    return {
        "environment_id": digest,
        **facts,
        "command": [part if i else "nas" for i, part in enumerate(sys.argv)],
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def record_environment(store: RunStore, environment: dict[str, Any]) -> int:
    """Writes this driver's environment into the run; the driver's number, from 1."""
    number = 1 + len(list((store.folder / "environment").glob(STARTS)))
    store.write_text(f"environment/{number:04d}.json", json.dumps(environment, indent=1) + "\n")
    return number

"""The environment of a search: versions and devices, recorded at every start of a driver."""

import hashlib
import json
import platform
import socket
import sys
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

import torch

from search_spaces.settings.seal import sealed_json
from trials.devices.device import available_cores, cpu_name
from trials.devices.nvml import driver_version
from trials.devices.versions import installed_version
from trials.log.file_names import ENVIRONMENT_FOLDER
from trials.log.store import RunStore

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
OF_ONE_START = ("environment_id", "command", "started_at")  # in no digest


@dataclass(frozen=True)
class Environment:
    """Versions, host and devices of a driver, and how and when it was started.

    `environment_id` is the same wherever all facts up to the host are the same.
    """

    environment_id: str
    python: str
    platform: str
    packages: dict[str, str | None]  # None: not installed
    cuda: str | None
    cudnn: int | None
    driver: str | None
    cudnn_benchmark: bool
    gpus: tuple[str, ...]
    cpu: str
    cores: int
    host: str
    command: tuple[str, ...]
    started_at: str  # UTC, ISO 8601


def describe_environment() -> Environment:
    """The environment of this process."""
    described = Environment(
        environment_id="",
        python=platform.python_version(),
        platform=platform.platform(),
        packages={name: installed_version(name) for name in PACKAGES},
        cuda=torch.version.cuda,
        cudnn=torch.backends.cudnn.version() if torch.cuda.is_available() else None,
        driver=driver_version(),
        cudnn_benchmark=torch.backends.cudnn.benchmark,
        gpus=tuple(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())),
        cpu=cpu_name(),
        cores=len(available_cores()),
        host=socket.gethostname(),
        command=tuple(part if i else "nas" for i, part in enumerate(sys.argv)),
        started_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    facts = {name: value for name, value in asdict(described).items() if name not in OF_ONE_START}
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
    return replace(described, environment_id=digest)


def record_environment(store: RunStore, environment: Environment) -> int:
    """Writes this driver's environment into the run, and returns the driver's number, from 1."""
    text = sealed_json(asdict(environment))
    store.write_text(f"{ENVIRONMENT_FOLDER}/{store.driver:04d}.json", text)
    return store.driver


def workers_file(number: int) -> str:
    """Name in the run of the list of workers of the driver with this number."""
    return f"{ENVIRONMENT_FOLDER}/{number:04d}-workers.json"

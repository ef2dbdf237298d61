"""Facts of the machine and the code, which stand beside every figure."""

import ctypes
import hashlib
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
CODE = ("search_spaces", "trials", "analysis", "nas", "tests/benchmarks")


def cuda_devices() -> int:
    """The number of CUDA devices that the driver gives this process, asked without torch."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return 0
    return count.value


def commit_here(root: Path = ROOT) -> str:
    """The commit, with a digest of what was changed since; without git a digest of the code."""
    head = _git(root, "rev-parse", "--short=12", "HEAD")
    if head is None:
        digest = hashlib.sha256()
        for file in sorted(file for folder in CODE for file in (root / folder).rglob("*.py")):
            digest.update(file.read_bytes())
        return f"no git, files {digest.hexdigest()[:12]}"
    changes = _git(root, "diff", "HEAD") or ""
    return head.strip() + (f"+{hashlib.sha256(changes.encode()).hexdigest()[:8]}" if changes else "")


def _git(root: Path, *words: str) -> str | None:
    try:
        return subprocess.run(
            ["git", "-C", str(root), *words], capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return None


def machine_facts(*, rehearse: bool) -> dict[str, Any]:
    """Commit, versions and device. Loads torch, so it belongs into a process of its own."""
    import torch

    from nas.search.environment import describe_environment

    known = describe_environment()
    facts: dict[str, Any] = {
        "commit": commit_here(),
        "torch": torch.__version__,
        "cuda": known.cuda,
        "cudnn": known.cudnn,
        "driver": known.driver,
        "python": known.python,
        "platform": known.platform,
        "cpu": known.cpu,
        "cores": known.cores,
        "gpus": list(known.gpus),
        "packages": known.packages,
        "device": known.cpu if rehearse else "",
        "began": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    if not rehearse and torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        facts["device"] = properties.name
        facts["memory"] = f"{properties.total_memory / 2**30:.0f} GiB"
        facts["capability"] = f"{properties.major}.{properties.minor}"
    return facts

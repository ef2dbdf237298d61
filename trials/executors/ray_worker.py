"""The Ray actor that runs trials one after the other, and checks itself for leaks."""

import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from trials.devices.versions import installed_version
from trials.trial import Event, RunTrial, Slot, StartWorker, TimingPart, Trial, WorkerInfo

VERSIONS = ("torch", "ray", "numpy", "pyarrow")
TRIALS_OF_A_PROCESS = 1000  # then it ends, which gives back whatever it leaks
NOT_HIDDEN = "RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES"
# A process leaks if between trials it holds more device memory than LEAK_FACTOR times that after its first
# trial, plus LEAK_BYTES.
LEAK_FACTOR, LEAK_BYTES = 1.5, 1 << 30


@dataclass(frozen=True)
class Wear:
    """The reason why a process should be replaced, and whether its device is to blame."""

    reason: str
    device_failed: bool = False


class RayWorker:
    """An actor with the worker of one slot, in the process where Ray has placed it."""

    def __init__(self, start_worker: StartWorker, slot: Slot) -> None:
        hide_other_gpus()
        self._run_trial: RunTrial = start_worker(slot)
        self._trials = 0
        self._held_first: int | None = None

    def ready(self) -> WorkerInfo:
        """Prepares the worker for trials (decodes images, say); returns host, process and device."""
        import ray

        if prepare := getattr(self._run_trial, "prepare", None):
            prepare()
        return WorkerInfo(
            device_name=getattr(self._run_trial, "device_name", None),
            host=socket.gethostname(),
            pid=os.getpid(),
            node_id=ray.get_runtime_context().get_node_id(),
            device_id=getattr(self._run_trial, "device_id", None),
            precision=getattr(self._run_trial, "gpu_precision", None),
            versions={name: installed_version(name) for name in VERSIONS},
        )

    def run(self, trial: Trial) -> Iterator[Event | TimingPart]:
        """Runs a trial and yields its events."""
        # Not `yield from`: Ray sends values into its generators, which a trial's iterator may not accept.
        for event in self._run_trial(trial):  # noqa: UP028
            yield event

    def worn_out(self) -> Wear | None:
        """The reason why this process should be replaced after a trial; None if it should not."""
        if fault := getattr(self._run_trial, "device_fault", None):
            return Wear(fault.reason, device_failed=not fault.of_capture)
        self._trials += 1
        held = self._held_bytes()
        if self._held_first is None:
            self._held_first = held
        if held > LEAK_FACTOR * self._held_first + LEAK_BYTES:
            return Wear(f"{held / 1e9:.1f} GB of device memory are held between trials")
        if self._trials >= TRIALS_OF_A_PROCESS:
            return Wear(f"it has run {self._trials:,} trials")
        return None

    def _held_bytes(self) -> int:
        held: Any = getattr(self._run_trial, "held_bytes", None)
        return int(held()) if held else 0


def hide_other_gpus() -> None:
    """Hides the GPUs of other actors, so that an actor's own is its first one.

    Ray does that itself, unless the environment forbids it: then all workers would use the first GPU.
    """
    if os.environ.get(NOT_HIDDEN, "").lower() not in ("1", "true"):
        return
    import ray

    from trials.devices.visible_gpus import VARIABLE  # loads torch

    own = ray.get_runtime_context().get_accelerator_ids().get("GPU")
    if own:
        os.environ[VARIABLE] = ",".join(own)

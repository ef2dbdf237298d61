"""The Ray actor that runs trials one after the other, and what it tells of itself."""

import os
import socket
from collections.abc import Iterator
from typing import Any

from trials.devices.versions import installed_version
from trials.trial import Event, RunTrial, Slot, StartWorker, TimingPart, Trial, WorkerInfo

VERSIONS = ("torch", "ray", "numpy", "pyarrow")
MOST_TRIALS = 1000  # of one process: whatever it leaks is given back by its end
LEAK_FACTOR, LEAK_BYTES = 1.5, 1 << 30  # device memory between trials, over what it was after the first


class RayWorker:
    """Starts the slot's worker where Ray has placed it."""

    def __init__(self, start_worker: StartWorker, slot: Slot) -> None:
        self._run_trial: RunTrial = start_worker(slot)
        self._trials = 0
        self._held_first: int | None = None

    def ready(self) -> WorkerInfo:
        """Makes sure that trials can run here, and says where here is."""
        import ray

        if prepare := getattr(self._run_trial, "prepare", None):
            prepare()
        return WorkerInfo(
            device_name=getattr(self._run_trial, "device_name", None),
            host=socket.gethostname(),
            pid=os.getpid(),
            node_id=ray.get_runtime_context().get_node_id(),
            versions={name: installed_version(name) for name in VERSIONS},
        )

    def run(self, trial: Trial) -> Iterator[Event | TimingPart]:
        """The trial's events."""
        # Not `yield from`: Ray sends values into its generators, which a trial's events may not take.
        for event in self._run_trial(trial):  # noqa: UP028
            yield event

    def worn_out(self) -> str | None:
        """Why this process should be replaced after the trial that it has run; None if it should not."""
        self._trials += 1
        held = self._held_bytes()
        if self._held_first is None:
            self._held_first = held
        if held > LEAK_FACTOR * self._held_first + LEAK_BYTES:
            return f"{held / 1e9:.1f} GB of device memory are held between trials"
        if self._trials >= MOST_TRIALS:
            return f"it has run {self._trials:,} trials"
        return None

    def _held_bytes(self) -> int:
        held: Any = getattr(self._run_trial, "held_bytes", None)
        return int(held()) if held else 0


def kill_process(pid: int) -> None:
    """Ends a process of this host that no longer listens (a stopped one, say)."""
    import signal
    from contextlib import suppress

    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)

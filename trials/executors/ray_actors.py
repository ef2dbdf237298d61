"""Runs trials on persistent Ray actors, one per device slot, on this machine or on a cluster."""

import os
import re
import socket
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from trials.device import available_slots
from trials.executors.timing_places import TimingPlaces
from trials.trial import (
    Event,
    Execute,
    Progress,
    RunTrial,
    Slot,
    StartWorker,
    TimingPart,
    Trial,
    TrialResult,
)

CONNECT_SECONDS = 5.0


class WorkersError(RuntimeError):
    """No workers: no cluster at that address, too few slots, or a worker that does not start."""


def ray_actors(
    *,
    workers: int | None = None,
    address: str | None = None,
    timing_device: str | None = None,
    per_device: int = 1,
) -> Execute:
    """Execute on `workers` actors of a local Ray, or of the cluster at `address`.

    A slot is a whole GPU where there are any, else a core; or one of `per_device` on each, which give way to
    one another while step time is measured. `workers` defaults to all slots. Trials are timed on devices of
    the model `timing_device` alone (None: all devices must be of one model; ANY: on any).
    """

    def execute(start_worker: StartWorker, trials: Iterable[Trial | None]) -> Iterator[Event]:
        with _connected(address, workers, per_device) as slots:
            yield from _Pool(start_worker, slots, timing_device, per_device).events(trials)

    return execute


class _Worker:
    """The actor: the slot's worker, reached through Ray."""

    def __init__(self, start_worker: StartWorker, slot: Slot) -> None:
        self._run_trial: RunTrial = start_worker(slot)

    def device_name(self) -> str | None:
        """Model of the worker's device; None where it does not tell."""
        return getattr(self._run_trial, "device_name", None)

    def run(self, trial: Trial) -> Iterator[Event | TimingPart]:
        # Not `yield from`: Ray sends values into its generators, which a trial's events may not take.
        for event in self._run_trial(trial):  # noqa: UP028
            yield event


class _Pool:
    """Actors and what they are running."""

    def __init__(
        self, start_worker: StartWorker, slots: list[Slot], timing_device: str | None, per_device: int
    ) -> None:
        self._start_worker = start_worker
        self._share = 1 / per_device
        self._timing_device = timing_device
        self._actors = {slot: self._start(slot) for slot in slots}
        self._free = list(reversed(slots))
        self._running: dict[Any, tuple[Slot, Trial]] = {}  # by the stream of the trial's events

    def _start(self, slot: Slot) -> Any:
        import ray

        gpus = self._share if slot.device.startswith("cuda") else 0
        options = {"num_cpus": 1, "num_gpus": gpus, "max_restarts": 0, "max_task_retries": 0}
        return ray.remote(**options)(_Worker).remote(self._start_worker, slot)

    def events(self, trials: Iterable[Trial | None]) -> Iterator[Event]:
        """The events of all trials, as they come."""
        import ray

        places = TimingPlaces(trials, self._device_names(), self._timing_device)
        while True:
            for slot in self._free[::-1]:
                trial = places.next_for(slot.index)
                if trial is None and places.are_alike:
                    break
                if trial is None:
                    continue
                self._free.remove(slot)
                stream = self._actors[slot].run.options(num_returns="streaming").remote(trial)
                self._running[stream] = (slot, trial)
            if not self._running:
                assert places.is_done, "told to wait with nothing in flight"
                return
            ready, _ = ray.wait(list(self._running), num_returns=1, timeout=1.0, fetch_local=False)
            for stream in ready:
                _, trial = self._running[stream]
                for event in self._next_event(stream):
                    if isinstance(event, TimingPart):
                        places.timed(event)
                        continue
                    if isinstance(event, TrialResult):
                        places.ended(trial)
                    yield event

    def _device_names(self) -> dict[int, str | None]:
        """By worker. Waits until all have started."""
        import ray
        from ray.exceptions import RayActorError

        asked = {slot: actor.device_name.remote() for slot, actor in self._actors.items()}
        names: dict[int, str | None] = {}
        for slot, answer in asked.items():
            try:
                names[slot.index] = ray.get(answer)
            except RayActorError as error:
                raise WorkersError(f"worker {slot.index} did not start: {_cause(error)}") from error
        return names

    def _next_event(self, stream: Any) -> Iterator[Event | TimingPart]:
        import ray
        from ray.exceptions import RayActorError, RayTaskError

        slot, trial = self._running[stream]
        try:
            event: Event | TimingPart = ray.get(next(stream))
        except StopIteration:
            self._release(stream)
            return
        except RayActorError as error:
            if getattr(error, "actor_init_failed", False):
                raise WorkersError(f"worker {slot.index} did not start: {_cause(error)}") from error
            self._release(stream)
            self._actors[slot] = self._start(slot)
            yield TrialResult(
                trial=trial,
                status="crashed",
                failure_kind="worker_lost",
                error=f"worker {slot.index} died while it ran trial {trial.trial_id}",
            )
            return
        except RayTaskError as error:
            self._release(stream)
            yield TrialResult(trial=trial, status="crashed", failure_kind="bug", error=_cause(error))
            return
        yield replace(event, slot=slot.index) if isinstance(event, Progress) else event

    def _release(self, stream: Any) -> None:
        slot, _ = self._running.pop(stream)
        self._free.append(slot)


def _cause(error: Exception) -> str:
    return str(getattr(error, "cause", None) or error)


@contextmanager
def _connected(address: str | None, workers: int | None, per_device: int) -> Iterator[list[Slot]]:
    """The slots of a cluster that is joined, or of a local Ray that ends with the block."""
    if address is None:
        # Read when ray is first imported, here and in the processes that it starts: a local Ray then listens
        # on the loopback interface alone. A cluster that is joined must be reachable, so it is left as it is.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    import ray
    from ray.exceptions import RayError

    if ray.is_initialized():  # the caller's own Ray, as in a notebook: used, and left running
        yield _cluster_slots(ray.cluster_resources(), workers, per_device)
    elif address is not None:
        _check_reachable(address)
        try:
            ray.init(address=address, log_to_driver=False, logging_level="error")
        except (ConnectionError, ValueError, RuntimeError, RayError) as error:
            raise WorkersError(f"no Ray cluster at {address!r}: {str(error).splitlines()[0]}") from error
        try:
            yield _cluster_slots(ray.cluster_resources(), workers, per_device)
        finally:
            ray.shutdown()
    else:
        slots = _local_slots(workers, per_device)
        with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
            ray.init(
                address="local",  # never a stranger's Ray that happens to run here
                num_cpus=len(slots),
                num_gpus=len(slots) if slots[0].device.startswith("cuda") else 0,
                include_dashboard=False,
                log_to_driver=False,
                logging_level="error",
                _temp_dir=folder,
            )
            try:
                yield slots
            finally:
                ray.shutdown()


def _check_reachable(address: str) -> None:
    """Ray itself tries an address that nobody listens at for minutes."""
    match = re.fullmatch(r"(?:ray://)?(.+):(\d+)", address)
    if match is None:  # auto, local, or a name of Ray's own: it answers at once
        return
    try:
        socket.create_connection((match[1], int(match[2])), timeout=CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise WorkersError(
            f"--ray-address {address}: nobody answers there ({error}); start a cluster with "
            "`ray start --head`, or give its address"
        ) from error


def _local_slots(workers: int | None, per_device: int) -> list[Slot]:
    devices = available_slots()
    kind = "GPU" if devices and devices[0].device.startswith("cuda") else "core"
    # A first worker on each device before a second one on any.
    slots = [replace(slot, index=i) for i, slot in enumerate(devices * per_device)]
    chosen = slots[: _checked(workers, len(devices), per_device, kind)]
    # Ray shows each actor its own GPU alone, which it sees as the first.
    return [replace(slot, device="cuda:0") if kind == "GPU" else slot for slot in chosen]


def _cluster_slots(resources: Mapping[str, float], workers: int | None, per_device: int) -> list[Slot]:
    """Slots of a cluster. No core is claimed: actors of several nodes share the numbers."""
    if gpus := int(resources.get("GPU", 0)):
        return [Slot(index=i, device="cuda:0") for i in range(_checked(workers, gpus, per_device, "GPU"))]
    return [Slot(index=i) for i in range(_checked(workers, int(resources.get("CPU", 0)), 1, "core"))]


def _checked(workers: int | None, devices: int, per_device: int, kind: str) -> int:
    available = devices * per_device
    if workers is not None and workers > available:
        each = "one" if per_device == 1 else f"1/{per_device} of one"
        raise WorkersError(
            f"--workers {workers}: there are only {devices} {kind}s, and each worker takes {each}; "
            f"use --workers {available} or fewer"
        )
    if available < 1:
        raise WorkersError(f"no {kind} is available to run trials on")
    return workers or available

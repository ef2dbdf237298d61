"""Runs trials on persistent Ray actors, one per device slot, on this machine or on a cluster."""

import os
import re
import socket
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from trials.devices.device import available_slots
from trials.executors.ray_pool import STALL_SECONDS, Pool, WorkersError
from trials.trial import Event, Execute, Notice, Slot, StartWorker, Trial

CONNECT_SECONDS = 5.0
_Slots = tuple[list[Slot], Callable[[], list[Slot]] | None]  # and how to ask for those that have joined


def ray_actors(
    *,
    workers: int | None = None,
    address: str | None = None,
    timing_device: str | None = None,
    per_device: int = 1,
    stall_seconds: float = STALL_SECONDS,
) -> Execute:
    """Execute on `workers` actors of a local Ray, or of the cluster at `address`.

    A slot is a whole GPU where there are any, else a core; or one of `per_device` on each, which give way to
    one another while step time is measured. `workers` defaults to all slots. Trials are timed on devices of
    the model `timing_device` alone (None: all devices must be of one model; ANY: on any).
    """

    def execute(start_worker: StartWorker, trials: Iterable[Trial | None]) -> Iterator[Event]:
        with connected(address, workers, per_device) as (slots, more_slots):
            if workers is not None and len(slots) < workers:
                yield Notice(f"{len(slots)} of {workers} workers can start now; the others do as nodes join")
            pool = Pool(
                start_worker,
                slots,
                more_slots=more_slots,
                share=1 / per_device,
                timing_device=timing_device,
                stall_seconds=stall_seconds,
            )
            yield from pool.events(trials)

    return execute


@contextmanager
def connected(
    address: str | None, workers: int | None, per_device: int, *, option: str = "--workers"
) -> Iterator[_Slots]:
    """The slots of a cluster that is joined, or of a local Ray that ends with the block.

    `option`: what the user asked for `workers` with.
    """

    def cluster_slots() -> list[Slot]:
        """Those that there are now, of the `workers` that were asked for."""
        return _cluster_slots(ray.cluster_resources(), per_device)[:workers]

    if address is None:
        # Read when ray is first imported, here and in the processes that it starts: a local Ray then listens
        # on the loopback interface alone. A cluster that is joined must be reachable, so it is left as it is.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    import ray
    from ray.exceptions import RayError

    if ray.is_initialized():  # the caller's own Ray, as in a notebook: used, and left running
        yield _enough(cluster_slots(), workers), cluster_slots
    elif address is not None:
        _check_reachable(address)
        try:
            ray.init(address=address, log_to_driver=False, logging_level="error")
        except (ConnectionError, ValueError, RuntimeError, RayError) as error:
            raise WorkersError(f"no Ray cluster at {address!r}: {str(error).splitlines()[0]}") from error
        try:
            yield _enough(cluster_slots(), workers), cluster_slots
        finally:
            ray.shutdown()
    else:
        slots = _local_slots(workers, per_device, option)
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
                yield slots, None
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


def _local_slots(workers: int | None, per_device: int, option: str = "--workers") -> list[Slot]:
    devices = available_slots()
    kind = "GPU" if devices and devices[0].device.startswith("cuda") else "core"
    # A first worker on each device before a second one on any.
    slots = [replace(slot, index=i) for i, slot in enumerate(devices * per_device)]
    chosen = slots[: _checked(workers, len(devices), per_device, kind, option)]
    # Ray shows each actor its own GPU alone, which it sees as the first.
    return [replace(slot, device="cuda:0") if kind == "GPU" else slot for slot in chosen]


def _cluster_slots(resources: Mapping[str, float], per_device: int) -> list[Slot]:
    """Slots of a cluster. No core is claimed: actors of several nodes share the numbers."""
    if gpus := int(resources.get("GPU", 0)):
        return [Slot(index=i, device="cuda:0") for i in range(gpus * per_device)]
    return [Slot(index=i) for i in range(int(resources.get("CPU", 0)))]


def _enough(slots: list[Slot], workers: int | None) -> list[Slot]:
    """Of a cluster that may still grow, at least one."""
    _checked(None, len(slots), 1, "GPU or core")
    return slots[:workers]


def _checked(workers: int | None, devices: int, per_device: int, kind: str, option: str = "--workers") -> int:
    available = devices * per_device
    if workers is not None and workers > available:
        each = "one" if per_device == 1 else f"1/{per_device} of one"
        found = f"is only 1 {kind}" if devices == 1 else f"are only {devices} {kind}s"
        raise WorkersError(
            f"{option} {workers}: there {found}, and each worker takes {each}; "
            f"use {option} {available} or fewer"
        )
    if available < 1:
        raise WorkersError(f"no {kind} is available to run trials on")
    return workers or available

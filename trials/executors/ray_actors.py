"""Runs trials on persistent Ray actors, one for each device slot of this machine or of a cluster."""

import os
import re
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

from trials.devices.device import available_slots
from trials.executors.local_slots import local_slots
from trials.executors.ray_folder import LongFolderError
from trials.executors.ray_local import LocalRay
from trials.executors.ray_pool import Pool, WorkersError
from trials.trial import STALL_SECONDS, Event, Execute, Notice, Slot, StartWorker, Trial

CONNECT_SECONDS = 5.0


@dataclass(frozen=True)
class Connection:
    """A Ray that is there to run trials: somebody else's, which may grow, or a local one.

    Attributes:
        slots: those it has now.
        more_slots: gives all slots, including those of nodes that joined later; None for a local Ray.
        local: the local Ray that was started for this; None for somebody else's.
        deaths: reasons for which that one died while it started, and was started again.
    """

    slots: list[Slot]
    more_slots: Callable[[], list[Slot]] | None = None
    local: LocalRay | None = None
    deaths: tuple[str, ...] = ()

    def notices(self) -> Iterator[Notice]:
        """A sentence about each of these deaths."""
        for reason in self.deaths:
            yield Notice(f"the local Ray has died: {reason}; it is started again")


def ray_actors(
    *,
    workers: int | None = None,
    address: str | None = None,
    timing_device: str | None = None,
    per_device: int = 1,
    stall_seconds: float = STALL_SECONDS,
) -> Execute:
    """An executor on `workers` actors (default: one per slot) of a local Ray, or of the cluster at `address`.

    A slot is a GPU or, without any, a core; with `per_device` slots on each, workers give way to one another
    while step time is measured.

    Args:
        timing_device: the model on which step time counts and is measured; None: all devices must be of one
            model; ANY: any.
        stall_seconds: as for `Pool`.
    """

    def execute(start_worker: StartWorker, trials: Iterable[Trial | None]) -> Iterator[Event]:
        with connected(address, workers, per_device) as ray_here:
            slots = ray_here.slots
            yield from ray_here.notices()
            if workers is not None and len(slots) < workers:
                yield Notice(f"{len(slots)} of {workers} workers can start now; the others do as nodes join")
            pool = Pool(
                start_worker,
                slots,
                more_slots=ray_here.more_slots,
                local=ray_here.local,
                share=1 / per_device,
                timing_device=timing_device,
                stall_seconds=stall_seconds,
            )
            yield from pool.events(trials)

    return execute


@contextmanager
def connected(
    address: str | None, workers: int | None, per_device: int, *, option: str = "--workers"
) -> Iterator[Connection]:
    """Connects to a Ray cluster, or starts a local Ray that ends with the block.

    `option` is the command-line option that `workers` came from, for messages.

    Raises:
        WorkersError: there is no cluster at the address, or it has too few slots.
        RayLostError: the local Ray does not start.
    """

    def cluster_slots() -> list[Slot]:
        """The slots that the cluster has now, at most `workers`."""
        return _cluster_slots(ray.cluster_resources(), per_device)[:workers]

    if address is None:
        # With this, a local Ray listens on the loopback interface alone. Ray reads it when it is first
        # imported, here and in its own processes. A cluster must be reachable, so there it is not set.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        # Each of Ray's looks whether its raylet has started is so short: Control-C is heard between them.
        os.environ.setdefault("RAY_raylet_start_wait_time_s", "1")
    import ray
    from ray.exceptions import RayError

    if ray.is_initialized():  # the caller's own Ray, as in a notebook, is used and left running
        yield Connection(_enough(cluster_slots(), workers), cluster_slots)
    elif address is not None:
        _check_reachable(address)
        try:
            ray.init(address=address, log_to_driver=False, logging_level="error")
        except (ConnectionError, ValueError, RuntimeError, RayError) as error:
            raise WorkersError(
                f"--ray-address {address}: there is no Ray cluster ({str(error).splitlines()[0]}); give its "
                "HOST:PORT, or auto for the one of this machine"
            ) from error
        try:
            yield Connection(_enough(cluster_slots(), workers), cluster_slots)
        finally:
            ray.shutdown()
    else:
        slots = local_slots(workers, per_device, option=option)
        has_gpus = slots[0].device.startswith("cuda")
        gpus = min(len(available_slots()), len(slots)) if has_gpus else 0
        # Ray hides all other GPUs from an actor, so that its own is the first.
        slots = [replace(slot, device="cuda:0") if has_gpus else slot for slot in slots]
        try:
            local = LocalRay(workers=len(slots), gpus=gpus)
        except LongFolderError as error:
            raise WorkersError(str(error)) from None
        try:
            deaths = tuple(local.begin())
            yield Connection(slots, local=local, deaths=deaths)
        finally:
            local.end()


def _check_reachable(address: str) -> None:
    """Checks that somebody listens at the address, because Ray itself would try for minutes.

    Raises:
        WorkersError: nobody does.
    """
    match = re.fullmatch(r"(?:ray://)?(.+):(\d+)", address)
    if match is None:  # "auto" or another name that Ray itself resolves at once
        return
    try:
        socket.create_connection((match[1], int(match[2])), timeout=CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise WorkersError(
            f"--ray-address {address}: nobody answers there ({error}); start a cluster with "
            "`ray start --head`, or give its address"
        ) from error


def _cluster_slots(resources: Mapping[str, float], per_device: int) -> list[Slot]:
    """Slots of a cluster; they name no cores, because Ray and not this process chooses their nodes."""
    if gpus := int(resources.get("GPU", 0)):
        return [Slot(index=i, device="cuda:0") for i in range(gpus * per_device)]
    return [Slot(index=i) for i in range(int(resources.get("CPU", 0)))]


def _enough(slots: list[Slot], workers: int | None) -> list[Slot]:
    """At most `workers` slots of a cluster, which may have fewer now and grow later, but must have one."""
    if not slots:
        raise WorkersError("no GPU or core is available to run trials on")
    return slots[:workers]

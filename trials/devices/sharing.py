"""A device that others share: held for a block, given way with every look, or had alone for a while."""

from collections.abc import Iterator
from contextlib import contextmanager

from trials.devices.device_lock import DeviceLock, OnWait


def _nothing(_: float) -> None:
    pass


@contextmanager
def training(lock: DeviceLock, on_wait: OnWait = _nothing) -> Iterator[DeviceLock]:
    """Shares the device with other trainers for the block, which calls `give_way` now and then."""
    assert lock.role is None, f"training inside {lock.role}"
    lock.wait("training", on_wait)
    try:
        yield lock
    finally:
        lock.release()


def give_way(lock: DeviceLock, on_wait: OnWait = _nothing) -> float:
    """Lets waiting timers use the device first; the seconds waited, 0 if there are none."""
    return lock.wait("training", on_wait) if lock.is_wanted() else 0.0


@contextmanager
def timing(lock: DeviceLock, on_wait: OnWait = _nothing) -> Iterator[float]:
    """Has the device alone for the block, as `DeviceLock.timing`; who trained before goes on after it."""
    trained = lock.role == "training"
    try:
        with lock.timing(on_wait) as waited:
            yield waited
    except Exception:
        if trained:  # memory may not have sufficed, and the caller goes on with something else
            lock.wait("training", on_wait)
        raise
    if trained:
        lock.wait("training", on_wait)

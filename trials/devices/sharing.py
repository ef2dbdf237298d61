"""A device that others share: held for a block, given way with every look, or had alone for a while."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from trials.devices.device_lock import DeviceLock

OnWait = Callable[[float], object]  # is told the seconds waited so far


def _nothing(_: float) -> None:
    pass


@contextmanager
def training(lock: DeviceLock, on_wait: OnWait = _nothing) -> Iterator[DeviceLock]:
    """Shares the device with other trainers for the block, which calls `give_way` now and then."""
    assert lock.role is None, f"training inside {lock.role}"
    _hold(lock, on_wait)
    try:
        yield lock
    finally:
        lock.release()


def give_way(lock: DeviceLock, on_wait: OnWait = _nothing) -> float:
    """Lets waiting timers use the device first; the seconds waited, 0 if there are none."""
    before = lock.waited_seconds
    if lock.is_wanted():
        _hold(lock, on_wait)
    return lock.waited_seconds - before


@contextmanager
def timing(lock: DeviceLock, on_wait: OnWait = _nothing) -> Iterator[float]:
    """Has the device alone for the block, as `DeviceLock.timing`; who trained before goes on after it."""
    trained = lock.role == "training"
    try:
        with lock.timing(on_wait) as waited:
            yield waited
    except Exception:
        if trained:  # memory may not have sufficed, and the caller goes on with something else
            _hold(lock, on_wait)
        raise
    if trained:
        _hold(lock, on_wait)


def _hold(lock: DeviceLock, on_wait: OnWait) -> None:
    with closing(lock.queue("training")) as queue:
        for seconds in queue:
            on_wait(seconds)

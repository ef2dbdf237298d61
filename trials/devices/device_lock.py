"""Exclusive use of a device for timing, among all processes of a host, including other runs and users.

Trainers share a device; timers use it exclusively. It is a readers-writer lock with a turnstile: everybody
joins one queue of numbered places, and each place is a file that the process in it holds a kernel lock on:

    place 7 → … → place 1 → place 0 (the turnstile) → device

A process takes the next place before it leaves its own, so nobody overtakes and nobody starves. Timers lock
place 0 and the device exclusively; trainers lock both shared, so that several pass at a time. A training
process finds place 0 locked exclusively only if a timer waits there for the device, and then gives way.

There is no deadlock: places are taken in one direction, and whoever has the device waits for nothing. The
kernel releases the locks of a process that dies.
"""

import hashlib
import os
import socket
import time
import warnings
import weakref
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Literal

from trials.devices.lock_files import FOLDER, NoLocksError, is_locked, try_lock, unlock

Role = Literal["training", "timing"]
OnWait = Callable[[float], object]  # gets the seconds waited so far

PLACES = 8  # processes that find all of them taken compete for the last one, in no order
FIRST_PAUSE, LONGEST_PAUSE = 0.001, 0.02  # seconds between two attempts to take a place; they grow
SECONDS_BETWEEN_HEARTBEATS = 0.5
# Between two looks of a trainer at place 0: a look locks the place for a moment, which delays timers.
SECONDS_BETWEEN_LOOKS = 0.001
PATIENCE_SECONDS = 600.0  # then a process goes ahead without the lock, as its holder seems to hang


class DeviceLock:
    """One process's lock of one device, held for training (shared), for timing (exclusive), or not at all.

    A process must use one object per device, because two would wait for each other.

    Args:
        device_id: identifies the device on this host; None: nothing is locked.
        synchronise: waits until the device has done the work queued by this process; called before release.
        patience_seconds: the longest wait, after which a warning is given and the device used without a lock.
    """

    def __init__(
        self,
        device_id: str | None,
        *,
        folder: Path = FOLDER,
        synchronise: Callable[[], object] = lambda: None,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self.role: Role | None = None
        self.waited_seconds = 0.0  # in total
        self._files = () if device_id is None else _files(device_id, folder)
        self._synchronise = synchronise
        self._patience = patience_seconds
        # File descriptors: of the place in the queue or the device that is held; and while training, of
        # place 0, open but not locked, to look for waiting timers.
        self._place: int | None = None
        self._front: int | None = None
        self._next_look = 0.0
        _LOCKS.add(self)

    @property
    def is_exclusive(self) -> bool:
        """True while no other process can use the device."""
        return self.role == "timing" and self._place is not None

    @contextmanager
    def timing(self, on_wait: OnWait = lambda seconds: None) -> Iterator[float]:
        """Uses the device exclusively for the block; yields the seconds waited for it."""
        if self.role == "timing":
            yield 0.0
            return
        try:
            yield self.wait("timing", on_wait)
        finally:
            self.release()

    def is_wanted(self) -> bool:
        """True if a timer waits for the device that this trainer holds. Takes microseconds."""
        if self._front is None or (now := time.monotonic()) < self._next_look:
            return False
        self._next_look = now + SECONDS_BETWEEN_LOOKS
        return is_locked(self._front)

    def queue(self, role: Role) -> Generator[float, None, None]:
        """Waits until the device is held in this role; meanwhile yields the seconds waited as heartbeats.

        Whatever was held is released first. Closing the generator early leaves the queue.
        """
        self.release()
        started = last_heartbeat = now = time.monotonic()
        pause = FIRST_PAUSE
        try:
            with closing(self._walk(role)) as walk:
                for _ in walk:
                    # The next place is taken: give up, send a heartbeat, or wait a little longer than before.
                    if now - started > self._patience:
                        _warn(f"waited {self._patience:.0f} s for the device, which somebody holds")
                        break
                    if now - last_heartbeat > SECONDS_BETWEEN_HEARTBEATS:
                        last_heartbeat = now
                        yield now - started
                    time.sleep(pause)
                    pause = min(1.5 * pause, LONGEST_PAUSE)
                    now = time.monotonic()
        except NoLocksError as error:
            _warn(str(error))
            self._files = ()
        finally:
            self.waited_seconds += time.monotonic() - started
        self.role = role

    def wait(self, role: Role, on_wait: OnWait = lambda seconds: None) -> float:
        """Waits as `queue` does; passes its heartbeats to `on_wait`, and returns the seconds waited."""
        before = self.waited_seconds
        with closing(self.queue(role)) as queue:  # whatever on_wait raises, the place is free at once
            for seconds in queue:
                on_wait(seconds)
        return self.waited_seconds - before

    def _walk(self, role: Role) -> Generator[None, None, None]:
        """Walks the queue from the last place to the device; yields whenever the next place is taken."""
        arrived = False
        try:
            for number, file in enumerate(self._files):
                is_shared = role == "training" and number >= len(self._files) - 2  # place 0 and the device
                while (taken := try_lock(file, shared=is_shared)) is None:
                    yield
                # Only now, with the next place taken, leave the old one.
                left, self._place = self._place, taken
                if left is not None:
                    self._leave(left, keeps_open=role == "training" and file is self._files[-1])
            arrived = True
        finally:
            if not arrived:
                self._close()

    def _leave(self, descriptor: int, *, keeps_open: bool) -> None:
        """Unlocks a place; a trainer keeps place 0 open, to look whether timers wait in it."""
        if keeps_open:
            unlock(descriptor)
            self._front = descriptor
        else:
            os.close(descriptor)

    def release(self) -> None:
        """Releases whatever is held, after the work that this process has queued on a device is done.

        An error of that work is left to whoever next uses the device: the place is free in any case.
        """
        try:
            if self.role is not None:
                self._synchronise()
        except RuntimeError:
            pass
        finally:
            self.role = None
            self._close()

    def _close(self) -> None:
        descriptors, self._place, self._front = (self._place, self._front), None, None
        for descriptor in descriptors:
            if descriptor is not None:
                os.close(descriptor)


def core_id(core: int) -> str:
    """An id of a core of this machine that is the same in all of its containers."""
    # Containers have host names of their own, but share the kernel and so the id of its boot.
    try:
        machine = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        machine = socket.gethostname()
    return f"{machine} core {core}"


def _files(device_id: str, folder: Path) -> tuple[Path, ...]:
    """The files of a device's queue in walking order: from the last place to place 0, then the device."""
    name = hashlib.sha256(device_id.encode()).hexdigest()[:24]
    return tuple(
        folder / f"{name}.{end}" for end in (*(f"place{i}" for i in reversed(range(PLACES))), "device")
    )


_LOCKS: "weakref.WeakSet[DeviceLock]" = weakref.WeakSet()
_warned: set[str] = set()


def _warn(reason: str) -> None:
    """Warns once for each reason that timing may not be exclusive."""
    if reason not in _warned:
        _warned.add(reason)
        warnings.warn(f"others may use the device while it is timed: {reason}", RuntimeWarning, stacklevel=2)


def _forget() -> None:
    """Drops the parent's locks in a forked child, whose copies of the descriptors would keep them locked."""
    for lock in _LOCKS:
        lock.role = None
        lock._close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)

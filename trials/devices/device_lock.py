"""Exclusive use of a device while timing, between all processes of a host, also of other runs and users.

Trainers share a device, timers have it alone. Both join one queue of numbered places; each place is a file,
held with a kernel lock by whoever stands in it:

    place 7 → … → place 1 → place 0 → device

Everybody takes the next place before leaving the own one, so nobody overtakes and nobody starves. Timers hold
place 0 and the device exclusively, trainers hold both shared: several pass at a time. A trainer that has the
device finds place 0 taken exclusively only while a timer waits there, and then gives way. Places are taken in
one direction and nobody who has the device waits for anything, so there is no circle of waiting; and the
kernel frees the place of whoever dies.
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
OnWait = Callable[[float], object]

PLACES = 8  # who comes when all are taken waits for the last one, in no order
FIRST_PAUSE, LONGEST_PAUSE = 0.001, 0.02  # seconds between two looks at a place that is taken
SECONDS_BETWEEN_HEARTBEATS = 0.5
SECONDS_BETWEEN_LOOKS = 0.001  # of a trainer: a look takes place 0 for a moment, in which no timer gets it
PATIENCE_SECONDS = 600.0  # a holder that was stopped, or hangs, must not stop everybody else


class DeviceLock:
    """One device, as one process uses it: not at all, for training, or for timing.

    Use one object in a process for a device; two wait for each other. `synchronise` waits for the device's
    own queue of work and is called before it is handed over. Without a `device_id` nothing is excluded.
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
        self.waited_seconds = 0.0  # in all
        self._files = () if device_id is None else _files(device_id, folder)
        self._synchronise = synchronise
        self._patience = patience_seconds
        self._place: int | None = None  # descriptors: where it stands, or the device
        self._front: int | None = None  # place 0, open and not locked, while it trains
        self._next_look = 0.0
        _LOCKS.add(self)

    @property
    def is_exclusive(self) -> bool:
        """Whether nobody else can use the device now."""
        return self.role == "timing" and self._place is not None

    @contextmanager
    def timing(self, on_wait: OnWait = lambda seconds: None) -> Iterator[float]:
        """Has the device alone for the block; the value is the seconds waited for that.

        Inside `training` the training is interrupted: it gives the device up, and waits for it afterwards.
        """
        if self.role == "timing":
            yield 0.0
            return
        before = self.role
        waited = self._acquire("timing", on_wait)
        try:
            yield waited
        finally:
            self.release()
            if before == "training":
                self._acquire("training", on_wait)

    @contextmanager
    def training(self, on_wait: OnWait = lambda seconds: None) -> Iterator["DeviceLock"]:
        """Shares the device with other trainers for the block, which calls `give_way` every few steps."""
        assert self.role is None, f"training inside {self.role}"
        self._acquire("training", on_wait)
        try:
            yield self
        finally:
            self.release()

    def give_way(self, on_wait: OnWait = lambda seconds: None) -> float:
        """Lets those go first who wait for the device, if any; the seconds that took."""
        return self._acquire("training", on_wait) if self.is_wanted() else 0.0

    def is_wanted(self) -> bool:
        """Whether a timer waits for the device that this trainer holds. Takes microseconds."""
        if self._front is None or (now := time.monotonic()) < self._next_look:
            return False
        self._next_look = now + SECONDS_BETWEEN_LOOKS
        return is_locked(self._front)

    def queue(self, role: Role) -> Generator[float, None, None]:
        """Waits until the device is held in this role; meanwhile yields the seconds waited, now and then.

        What was held before is given up first. Whoever stops early leaves the queue.
        """
        self.release()
        started = last_heartbeat = now = time.monotonic()
        pause = FIRST_PAUSE
        try:
            with closing(self._walk(role)) as walk:
                for _ in walk:
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

    def _walk(self, role: Role) -> Generator[None, None, None]:
        """Goes from the last place to the device; yields whenever the next one is taken."""
        arrived = False
        try:
            for number, file in enumerate(self._files):
                is_shared = role == "training" and number >= len(self._files) - 2
                while (taken := try_lock(file, shared=is_shared)) is None:
                    yield
                left, self._place = self._place, taken
                if left is not None:
                    self._leave(left, keeps_open=role == "training" and file is self._files[-1])
            arrived = True
        finally:
            if not arrived:
                self._close()

    def _leave(self, descriptor: int, *, keeps_open: bool) -> None:
        if keeps_open:
            unlock(descriptor)
            self._front = descriptor
        else:
            os.close(descriptor)

    def _acquire(self, role: Role, on_wait: OnWait) -> float:
        before = self.waited_seconds
        with closing(self.queue(role)) as queue:  # whatever on_wait raises, the place is free at once
            for seconds in queue:
                on_wait(seconds)
        return self.waited_seconds - before

    def release(self) -> None:
        """Gives up what is held, if anything; a trainer's queued work is done by then."""
        try:
            if self.role == "training":
                self._synchronise()
        finally:
            self.role = None
            self._close()

    def _close(self) -> None:
        descriptors, self._place, self._front = (self._place, self._front), None, None
        for descriptor in descriptors:
            if descriptor is not None:
                os.close(descriptor)


def core_id(core: int) -> str:
    """Identifies one core of this machine, whatever its containers call themselves."""
    try:
        machine = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        machine = socket.gethostname()
    return f"{machine} core {core}"


def _files(device_id: str, folder: Path) -> tuple[Path, ...]:
    """The files of the places, the last place first, and then the device's."""
    name = hashlib.sha256(device_id.encode()).hexdigest()[:24]
    return tuple(
        folder / f"{name}.{end}" for end in (*(f"place{i}" for i in reversed(range(PLACES))), "device")
    )


_LOCKS: "weakref.WeakSet[DeviceLock]" = weakref.WeakSet()
_warned: set[str] = set()


def _warn(reason: str) -> None:
    """Says once what is amiss."""
    if reason not in _warned:
        _warned.add(reason)
        warnings.warn(f"others may use the device while it is timed: {reason}", RuntimeWarning, stacklevel=2)


def _forget() -> None:
    """In a forked process: the parent's locks are not held on by its children."""
    for lock in _LOCKS:
        lock.role = None
        lock._close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)

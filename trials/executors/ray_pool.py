"""A pool of Ray actors that run trials; actors may die, hang or wear out, and others may join."""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from trials.executors.ray_worker import RayWorker, kill_process
from trials.executors.timing_places import TimingPlaces, check_devices
from trials.trial import (
    Event,
    Notice,
    Progress,
    Slot,
    StartWorker,
    TimingPart,
    Trial,
    TrialResult,
    WorkerInfo,
    WorkerJoined,
)

STALL_SECONDS = 300.0  # without an event; building, capturing a graph and decoding images yield none
START_SECONDS = 120.0  # that the first trial waits at most until all workers have started
SECONDS_BETWEEN_LOOKS = 3.0  # at the cluster's resources
SECONDS_BETWEEN_NOTICES = 60.0  # that no worker can run trials
FAILED_STARTS = 3  # in a row, after which a slot is given up
POLL_SECONDS = 1.0


class WorkersError(RuntimeError):
    """There are no workers: no cluster at the address, too few slots, or a worker that does not start."""


@dataclass
class _Member:
    """The actor of one slot and its state: starting, free, running a trial, or checked for wear.

    `ready`, `stream` and `checked` are Ray references to results that will come.
    """

    slot: Slot
    actor: Any
    ready: Any  # its WorkerInfo; None once it has arrived
    info: WorkerInfo | None = None  # None while it starts, and for a worker that is not used
    stream: Any = None  # of events, while it runs a trial
    trial: Trial | None = None
    heard: float = 0.0  # monotonic time of its last event
    checked: Any = None  # the reason to replace it, or None, after a trial
    failed_starts: int = 0

    @property
    def is_free(self) -> bool:
        return self.info is not None and self.trial is None and self.checked is None

    @property
    def waitables(self) -> list[Any]:
        return [each for each in (self.ready, self.stream, self.checked) if each is not None]


class Pool:
    """Keeps an actor on every slot, and gives trials to those that are free.

    Args:
        slots: the slots to begin with.
        more_slots: called every few seconds for all slots that there are by now; None: slots never change.
        share: share of a GPU that each actor reserves, 0-1.
        timing_device: the model on which step time counts, as for `TimingPlaces`.
        stall_seconds: an actor that yields no event for this long during a trial is killed.
    """

    def __init__(
        self,
        start_worker: StartWorker,
        slots: list[Slot],
        *,
        more_slots: Callable[[], list[Slot]] | None = None,
        share: float = 1.0,
        timing_device: str | None = None,
        stall_seconds: float = STALL_SECONDS,
    ) -> None:
        self._start_worker = start_worker
        self._more_slots = more_slots
        self._share = share
        self._timing_device = timing_device
        self._stall_seconds = stall_seconds
        self._members = {slot.index: self._started(slot) for slot in slots}
        # Slots whose actors failed to start several times; tried again when nodes have joined or left.
        self._given_up: set[int] = set()
        self._offered = len(slots)
        self._last_look = self._last_notice = time.monotonic()

    def events(self, trials: Iterable[Trial | None]) -> Iterator[Event]:
        """Runs all trials and yields their events as they come.

        Raises:
            WorkersError: no worker starts.
            WrongDeviceError: the workers' step times could not be compared.
        """
        import ray

        places = TimingPlaces(trials, self._timing_device)
        yield from self._first_workers(places)
        # The loop: give trials to free workers, wait for the next result of any of them, handle it; then look
        # for workers that hang and for nodes that have joined.
        while True:
            self._dispatch(places)
            if not self._is_busy() and places.is_done:
                return
            waitables = [each for member in self._members.values() for each in member.waitables]
            assert waitables, "told to wait with nothing in flight"
            found, _ = ray.wait(waitables, num_returns=1, timeout=POLL_SECONDS, fetch_local=False)
            for each in found:
                member = next(m for m in self._members.values() if any(each is w for w in m.waitables))
                yield from self._handle(member, each, places)
            yield from self._kill_stalled(places)
            yield from self._start_on_new_slots()

    def _started(self, slot: Slot, failed_starts: int = 0) -> _Member:
        """Starts an actor on a slot; does not wait for it."""
        import ray

        gpus = self._share if slot.device.startswith("cuda") else 0
        # Ray must not retry by itself: the search counts attempts, and records every one.
        options = {"num_cpus": 1, "num_gpus": gpus, "max_restarts": 0, "max_task_retries": 0}
        actor = ray.remote(**options)(RayWorker).remote(self._start_worker, slot)
        return _Member(slot=slot, actor=actor, ready=actor.ready.remote(), failed_starts=failed_starts)

    def _replace(self, member: _Member, *, failed_starts: int = 0) -> None:
        self._members[member.slot.index] = self._started(member.slot, failed_starts)

    def _is_busy(self) -> bool:
        return any(member.trial is not None for member in self._members.values())

    # ------------------------------------------------------------------ workers that start and join

    def _first_workers(self, places: TimingPlaces) -> Iterator[Event]:
        """Waits until all workers have started, or START_SECONDS; then compares their devices.

        Workers that start later are compared when they join.
        """
        import ray

        waiting = [member.ready for member in self._members.values()]
        ray.wait(waiting, num_returns=len(waiting), timeout=START_SECONDS, fetch_local=False)
        known = []
        for member in list(self._members.values()):
            done, _ = ray.wait([member.ready], timeout=0, fetch_local=False)
            if not done:
                continue
            info = self._info(member)
            if info is None:
                self._replace(member, failed_starts=1)
            else:
                known.append((member, info))
        check_devices([info.device_name for _, info in known], self._timing_device)
        for member, info in known:
            yield from self._join(member, info, places)

    def _info(self, member: _Member) -> WorkerInfo | None:
        """The info of a worker that is among the first; None if its process was killed before it had any.

        Raises:
            WorkersError: the worker raised an exception while it started.
        """
        import ray
        from ray.exceptions import RayActorError, RayTaskError

        try:
            info: WorkerInfo = ray.get(member.ready)
            return info
        except RayTaskError as error:
            reason = cause(error)
        except RayActorError as error:
            if not error.actor_init_failed:
                return None
            reason = cause(error)
        raise WorkersError(f"worker {member.slot.index} did not start: {reason}")

    def _join(self, member: _Member, info: WorkerInfo, places: TimingPlaces) -> Iterator[Event]:
        """Makes a started worker free for trials, unless its device's step times could not be compared."""
        member.ready = None
        if refusal := places.join(member.slot.index, info.device_name):
            yield Notice(f"worker {member.slot.index} on {info.host} is not used: {refusal}")
            return
        member.info, member.failed_starts = info, 0
        yield WorkerJoined(slot=member.slot.index, info=info)

    def _started_later(self, member: _Member, places: TimingPlaces) -> Iterator[Event]:
        """Handles the start of a replacement, or of a worker on a new node.

        If it fails it is started again, FAILED_STARTS times in all; unlike among the first workers, this does
        not end the search as long as others are left.
        """
        import ray
        from ray.exceptions import RayActorError, RayTaskError

        try:
            info: WorkerInfo = ray.get(member.ready)
        except (RayActorError, RayTaskError) as error:
            failed = member.failed_starts + 1
            if failed < FAILED_STARTS:
                self._replace(member, failed_starts=failed)
                return
            del self._members[member.slot.index]
            self._given_up.add(member.slot.index)
            yield Notice(f"worker {member.slot.index} is given up: it did not start: {cause(error)}")
            if not self._members:
                raise WorkersError(f"no worker is left; the last one said: {cause(error)}") from error
            return
        yield from self._join(member, info, places)

    def _start_on_new_slots(self) -> Iterator[Event]:
        """Starts actors on slots of new nodes; notes now and then that no worker can run trials."""
        now = time.monotonic()
        if self._more_slots is not None and now - self._last_look > SECONDS_BETWEEN_LOOKS:
            self._last_look = now
            slots = self._more_slots()
            # A changed number of slots means other nodes, where actors may start that failed before.
            if len(slots) != self._offered:
                self._offered = len(slots)
                self._given_up.clear()
            for slot in slots:
                if slot.index not in self._members and slot.index not in self._given_up:
                    self._members[slot.index] = self._started(slot)
        if any(member.info is not None for member in self._members.values()):
            self._last_notice = now
        elif now - self._last_notice > SECONDS_BETWEEN_NOTICES:
            self._last_notice = now
            yield Notice("no worker is there to run trials; waiting for a node to join, or to come back")

    # ------------------------------------------------------------------ trials

    def _dispatch(self, places: TimingPlaces) -> None:
        """Gives each free worker a trial, if there is one for it."""
        for member in self._members.values():
            if not member.is_free:
                continue
            trial = places.next_for(member.slot.index)
            if trial is not None:
                member.stream = member.actor.run.options(num_returns="streaming").remote(trial)
                member.trial, member.heard = trial, time.monotonic()
            elif places.are_alike:
                return  # no trial for one worker means none for any; do not ask for the others

    def _handle(self, member: _Member, each: Any, places: TimingPlaces) -> Iterator[Event]:
        """Handles a result that has arrived: a start, the check after a trial, or a trial's next event."""
        if each is member.ready:
            yield from self._started_later(member, places)
        elif each is member.checked:
            yield from self._after_check(member, places)
        else:
            yield from self._next_event(member, places)

    def _next_event(self, member: _Member, places: TimingPlaces) -> Iterator[Event]:
        """Takes the next event of a worker's trial, or finds that the trial or the worker has ended."""
        import ray
        from ray.exceptions import RayActorError, RayTaskError

        assert member.trial is not None, "events are of a trial"
        try:
            event: Event | TimingPart = ray.get(next(member.stream))
        except StopIteration:  # the trial is done; before the next one, ask whether the worker is worn out
            member.stream = member.trial = None
            member.checked = member.actor.worn_out.remote()
            return
        except RayActorError as error:  # the worker's process is gone
            yield self._lost(member, places, cause(error), preempted=bool(error.preempted))
            return
        except RayTaskError as error:  # the trial raised; its worker lives
            places.ended(member.trial)
            yield TrialResult(trial=member.trial, status="crashed", failure_kind="bug", error=cause(error))
            member.stream = member.trial = None
            return
        member.heard = time.monotonic()
        if isinstance(event, TimingPart):
            places.timed(event)
            return
        if isinstance(event, TrialResult):
            places.ended(member.trial)
        yield replace(event, slot=member.slot.index) if isinstance(event, Progress) else event

    def _after_check(self, member: _Member, places: TimingPlaces) -> Iterator[Event]:
        """Frees a worker after a trial, or replaces it if it is worn out or does not answer."""
        import ray
        from ray.exceptions import RayActorError, RayTaskError

        try:
            reason = ray.get(member.checked)
        except (RayActorError, RayTaskError) as error:
            reason = cause(error)
        member.checked = None
        if reason is not None:
            places.leave(member.slot.index)
            ray.kill(member.actor)
            self._replace(member)
            yield Notice(f"worker {member.slot.index} is replaced: {reason}")

    def _lost(
        self, member: _Member, places: TimingPlaces, reason: str, *, preempted: bool = False
    ) -> TrialResult:
        """Starts another worker in the place of a lost one; returns the crashed result of its trial."""
        trial = member.trial
        assert trial is not None, "who runs nothing loses nothing"
        places.ended(trial)
        places.leave(member.slot.index)
        self._kill(member)  # it may still live, out of reach for a moment, and must not use the device
        self._replace(member)
        where = member.info.host if member.info else "an unknown host"
        return TrialResult(
            trial=trial,
            status="crashed",
            failure_kind="preempted" if preempted else "worker_lost",
            error=f"worker {member.slot.index} on {where} died while it ran trial {trial.trial_id}: {reason}",
        )

    def _kill_stalled(self, places: TimingPlaces) -> Iterator[Event]:
        """Kills workers whose trial has yielded no event for too long."""
        now = time.monotonic()
        for member in list(self._members.values()):
            if member.trial is None or now - member.heard < self._stall_seconds:
                continue
            silent = math.floor(now - member.heard)
            yield self._lost(member, places, f"it gave no sign of life for {silent} s")

    def _kill(self, member: _Member) -> None:
        """Kills a worker's process, even if it is stopped (SIGSTOP) and does not react to Ray."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        ray.kill(member.actor)
        # A task on the worker's own node sends SIGKILL, which a stopped process cannot ignore.
        if member.info is not None:
            there = NodeAffinitySchedulingStrategy(node_id=member.info.node_id, soft=False)
            ray.remote(kill_process).options(num_cpus=0, scheduling_strategy=there).remote(member.info.pid)


def cause(error: Exception) -> str:
    """The message of a remote error: that of the original exception, if Ray knows it."""
    return str(getattr(error, "cause", None) or error)

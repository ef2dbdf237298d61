"""Ray actors that run trials: they may die, hang or wear out, and others may join meanwhile."""

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

STALL_SECONDS = 300.0  # without a sign of life; building, recording a graph and decoding give none
START_SECONDS = 120.0  # for which the first trial waits for slow workers
SECONDS_BETWEEN_LOOKS = 3.0  # at a cluster's resources
SECONDS_BETWEEN_NOTICES = 60.0  # that there is nobody to run trials
FAILED_STARTS = 3  # in a row; then a slot is given up
POLL_SECONDS = 1.0


class WorkersError(RuntimeError):
    """No workers: no cluster at that address, too few slots, or a worker that does not start."""


@dataclass
class _Member:
    """One slot's actor and what it is doing."""

    slot: Slot
    actor: Any
    ready: Any  # where its WorkerInfo will be; None once it has been taken
    info: WorkerInfo | None = None
    stream: Any = None  # of the events of `trial`
    trial: Trial | None = None
    heard: float = 0.0  # monotonic seconds
    checked: Any = None  # where it will say whether it is worn out
    failed_starts: int = 0

    @property
    def is_free(self) -> bool:
        return self.info is not None and self.trial is None and self.checked is None

    @property
    def waitables(self) -> list[Any]:
        return [each for each in (self.ready, self.stream, self.checked) if each is not None]


class Pool:
    """Keeps an actor on every slot and gives trials to those that are free.

    Args:
        slots: those to begin with.
        more_slots: asked every few seconds for all slots that there are by now; None: they stay the same.
        share: of a GPU, for each actor.
        timing_device: as TimingPlaces' `counts`.
        stall_seconds: an actor that gives no sign of life for so long while it runs a trial is killed.
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
        # Slots whose actor does not start, time and again: tried anew when nodes have come or gone.
        self._given_up: set[int] = set()
        self._offered = len(slots)
        self._looked = self._noticed = time.monotonic()

    def events(self, trials: Iterable[Trial | None]) -> Iterator[Event]:
        """The events of all trials, as they come.

        Raises:
            WorkersError: no worker starts.
            WrongDeviceError: their devices do not suit one ranking of step times.
        """
        import ray

        places = TimingPlaces(trials, self._timing_device)
        yield from self._first_workers(places)
        while True:
            self._dispatch(places)
            if not self._busy() and places.is_done:
                return
            waitables = [each for member in self._members.values() for each in member.waitables]
            assert waitables, "told to wait with nothing in flight"
            found, _ = ray.wait(waitables, num_returns=1, timeout=POLL_SECONDS, fetch_local=False)
            for each in found:
                member = next(m for m in self._members.values() if any(each is w for w in m.waitables))
                yield from self._handle(member, each, places)
            yield from self._killed_for_silence(places)
            yield from self._grown(places)

    def _started(self, slot: Slot, failed_starts: int = 0) -> _Member:
        import ray

        gpus = self._share if slot.device.startswith("cuda") else 0
        options = {"num_cpus": 1, "num_gpus": gpus, "max_restarts": 0, "max_task_retries": 0}
        actor = ray.remote(**options)(RayWorker).remote(self._start_worker, slot)
        return _Member(slot=slot, actor=actor, ready=actor.ready.remote(), failed_starts=failed_starts)

    def _replace(self, member: _Member, *, failed_starts: int = 0) -> None:
        self._members[member.slot.index] = self._started(member.slot, failed_starts)

    def _busy(self) -> bool:
        return any(member.trial is not None for member in self._members.values())

    # ------------------------------------------------------------------ who is there

    def _first_workers(self, places: TimingPlaces) -> Iterator[Event]:
        """Waits until all have started, or for some time until one has; their devices are compared first."""
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
            yield from self._joins(member, info, places)

    def _info(self, member: _Member) -> WorkerInfo | None:
        """What a first worker says of itself; None if it was killed before it could.

        Raises:
            WorkersError: it failed to start.
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

    def _joins(self, member: _Member, info: WorkerInfo, places: TimingPlaces) -> Iterator[Event]:
        member.ready = None
        if refusal := places.join(member.slot.index, info.device_name):
            yield Notice(f"worker {member.slot.index} on {info.host} is not used: {refusal}")
            return
        member.info, member.failed_starts = info, 0
        yield WorkerJoined(slot=member.slot.index, info=info)

    def _started_later(self, member: _Member, places: TimingPlaces) -> Iterator[Event]:
        """A replacement, or one on a node that has joined: that it fails does not end the search."""
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
        yield from self._joins(member, info, places)

    def _grown(self, places: TimingPlaces) -> Iterator[Event]:
        """Starts actors on slots that have joined the cluster, and says so while nobody can run trials."""
        now = time.monotonic()
        if self._more_slots is not None and now - self._looked > SECONDS_BETWEEN_LOOKS:
            self._looked = now
            slots = self._more_slots()
            if len(slots) != self._offered:
                self._offered = len(slots)
                self._given_up.clear()
            for slot in slots:
                if slot.index not in self._members and slot.index not in self._given_up:
                    self._members[slot.index] = self._started(slot)
        if any(member.info is not None for member in self._members.values()):
            self._noticed = now
        elif now - self._noticed > SECONDS_BETWEEN_NOTICES:
            self._noticed = now
            yield Notice("no worker is there to run trials; waiting for a node to join, or to come back")

    # ------------------------------------------------------------------ what they do

    def _dispatch(self, places: TimingPlaces) -> None:
        for member in self._members.values():
            if not member.is_free:
                continue
            trial = places.next_for(member.slot.index)
            if trial is not None:
                member.stream = member.actor.run.options(num_returns="streaming").remote(trial)
                member.trial, member.heard = trial, time.monotonic()
            elif places.are_alike:
                return

    def _handle(self, member: _Member, each: Any, places: TimingPlaces) -> Iterator[Event]:
        if each is member.ready:
            yield from self._started_later(member, places)
        elif each is member.checked:
            yield from self._after_check(member, places)
        else:
            yield from self._next_event(member, places)

    def _next_event(self, member: _Member, places: TimingPlaces) -> Iterator[Event]:
        import ray
        from ray.exceptions import RayActorError, RayTaskError

        assert member.trial is not None, "events are of a trial"
        try:
            event: Event | TimingPart = ray.get(next(member.stream))
        except StopIteration:
            member.stream = member.trial = None
            member.checked = member.actor.worn_out.remote()
            return
        except RayActorError as error:
            yield self._lost(member, places, cause(error), preempted=bool(error.preempted))
            return
        except RayTaskError as error:
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
        """The result of a trial whose worker is gone; another one is started in its place."""
        trial = member.trial
        assert trial is not None, "who runs nothing loses nothing"
        places.ended(trial)
        places.leave(member.slot.index)
        self._kill(member)  # it may only have been out of reach for a moment
        self._replace(member)
        where = member.info.host if member.info else "an unknown host"
        return TrialResult(
            trial=trial,
            status="crashed",
            failure_kind="preempted" if preempted else "worker_lost",
            error=f"worker {member.slot.index} on {where} died while it ran trial {trial.trial_id}: {reason}",
        )

    def _killed_for_silence(self, places: TimingPlaces) -> Iterator[Event]:
        """Ends workers that run a trial and have given no sign of life for long."""
        now = time.monotonic()
        for member in list(self._members.values()):
            if member.trial is None or now - member.heard < self._stall_seconds:
                continue
            silent = math.floor(now - member.heard)
            yield self._lost(member, places, f"it gave no sign of life for {silent} s")

    def _kill(self, member: _Member) -> None:
        """Also a process that is stopped, and so would not obey."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        ray.kill(member.actor)
        if member.info is not None:
            there = NodeAffinitySchedulingStrategy(node_id=member.info.node_id, soft=False)
            ray.remote(kill_process).options(num_cpus=0, scheduling_strategy=there).remote(member.info.pid)


def cause(error: Exception) -> str:
    """What a remote error says, in a line or as its traceback."""
    return str(getattr(error, "cause", None) or error)

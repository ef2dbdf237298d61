"""A pool of Ray actors that run trials; actors may die, hang or wear out, and others may join."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from trials.devices.device_errors import names_device_fault
from trials.executors.failing_devices import FailingDevices
from trials.executors.ray_guard import kill_process
from trials.executors.ray_local import SEEN_SECONDS, LocalRay
from trials.executors.ray_member import Member, cause, lost_result
from trials.executors.ray_worker import RayWorker, Wear
from trials.executors.timing_places import TimingPlaces, compared
from trials.trial import (
    STALL_SECONDS,
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

START_SECONDS = 120.0  # that the first trial waits at most until all workers have started
SECONDS_BETWEEN_LOOKS = 3.0  # at the cluster's resources
SECONDS_BETWEEN_NOTICES = 60.0  # that no worker can run trials
FAILED_STARTS = 3  # in a row, after which a slot is given up
POLL_SECONDS = 1.0


class WorkersError(RuntimeError):
    """There are no workers: no cluster at the address, too few slots, or a worker that does not start."""


class _RayDiedError(RuntimeError):
    """The local Ray is dead."""


class Pool:
    """Keeps an actor on every slot, and gives trials to those that are free.

    Args:
        slots: the slots to begin with.
        more_slots: called every few seconds for all slots that there are by now; None: slots never change.
        local: the Ray that runs all this, if it is to be started again when it dies.
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
        local: LocalRay | None = None,
        share: float = 1.0,
        timing_device: str | None = None,
        stall_seconds: float = STALL_SECONDS,
    ) -> None:
        self._start_worker, self._more_slots, self._local = start_worker, more_slots, local
        self._failure: Exception | None = None  # of whoever gives the trials
        self._share, self._timing_device, self._stall_seconds = share, timing_device, stall_seconds
        self._slots = slots
        self._worker_class: Any = None  # of actors, in the Ray that runs now
        self._members = {slot.index: self._started(slot) for slot in slots}
        self._given_up: set[int] = set()  # slots that failed to start, until nodes have joined or left
        self._offered, self._failing = len(slots), FailingDevices()
        self._last_look = self._last_notice = self._last_used = time.monotonic()

    def events(self, trials: Iterable[Trial | None]) -> Iterator[Event]:
        """Runs all trials and yields their events as they come.

        Raises:
            WorkersError: no worker starts.
            WrongDeviceError: the workers' step times could not be compared.
        """
        places = TimingPlaces(self._watched(trials), self._timing_device)
        have_begun, reason = False, None
        while True:
            try:
                if reason is not None:
                    self._worker_class = None
                    self._members = {slot.index: self._started(slot) for slot in self._slots}
                if not have_begun:
                    yield from self._first_workers(places)
                    have_begun = True
                yield from self._until_done(places)
                return
            except Exception as error:  # Ray's own kinds, when it has died, which are many
                reason = self._local.death(within=SEEN_SECONDS) if self._local is not None else None
                if reason is None or error is self._failure:
                    raise
            yield from self._start_ray_again(reason, places)

    def _watched(self, trials: Iterable[Trial | None]) -> Iterator[Trial | None]:
        """The same trials; an exception of their source is remembered, as none of Ray's."""
        try:
            yield from trials
        except Exception as error:
            self._failure = error
            raise

    def _until_done(self, places: TimingPlaces) -> Iterator[Event]:
        """The loop: gives trials to free workers, waits for the next result of any of them, handles it."""
        import ray

        while True:
            self._check_ray()
            self._dispatch(places)
            if not self._is_busy() and places.is_done:
                return
            waitables = [each for member in self._members.values() for each in member.waitables]
            assert waitables, "asked to wait with nothing in flight"
            found, _ = ray.wait(waitables, num_returns=1, timeout=POLL_SECONDS, fetch_local=False)
            self._check_ray()  # of a dead Ray's workers each would be lost, and replaced, by itself
            for each in found:
                member = next(m for m in self._members.values() if any(each is w for w in m.waitables))
                yield from self._handle(member, each, places)
            # Then workers that hang, and nodes that have joined.
            yield from self._kill_stalled(places)
            yield from self._start_on_new_slots()

    def _check_ray(self) -> None:
        if self._local is not None and self._local.death() is not None:
            raise _RayDiedError

    def _start_ray_again(self, reason: str, places: TimingPlaces) -> Iterator[Event]:
        """Starts the local Ray, which has died, once more; trials in flight have lost their workers.

        Raises:
            RayLostError: it does not start, or has died too often.
        """
        assert self._local is not None, "others start theirs again themselves"
        lost = [member for member in self._members.values() if member.trial and not member.is_over]
        for index in self._members:
            places.leave(index)
        self._members = {}
        self._given_up.clear()
        self._local.died(reason)
        yield Notice(f"the local Ray has died: {reason}; it is started again, and so are trials in flight")
        for member in lost:
            assert member.trial is not None, "only those that run one"
            places.ended(member.trial)
            yield lost_result(member, f"the local Ray died: {reason}")
        self._local.start_again()

    def _started(self, slot: Slot, failed_starts: int = 0) -> Member:
        """Starts an actor on a slot; does not wait for it."""
        import ray

        gpus = self._share if slot.device.startswith("cuda") else 0
        if self._worker_class is None:
            # Once: each such class is handed to Ray's gcs_server; with a dead one the call would not return.
            # Ray must not retry by itself: the search counts attempts, and records every one.
            self._worker_class = ray.remote(max_restarts=0, max_task_retries=0)(RayWorker)
        actor = self._worker_class.options(num_cpus=1, num_gpus=gpus).remote(self._start_worker, slot)
        return Member(slot=slot, actor=actor, ready=actor.ready.remote(), failed_starts=failed_starts)

    def _replace(self, member: Member, *, failed_starts: int = 0) -> None:
        self._members[member.slot.index] = self._started(member.slot, failed_starts)

    def _is_busy(self) -> bool:
        return any(member.trial is not None for member in self._members.values())

    # ------------------------------------------------------------------ workers that start and join

    def _first_workers(self, places: TimingPlaces) -> Iterator[Event]:
        """Waits until all workers have started, or START_SECONDS; then compares their devices.

        Workers that start later are compared when they join.
        """
        import ray

        waiting, until = [member.ready for member in self._members.values()], time.monotonic() + START_SECONDS
        while waiting and time.monotonic() < until:
            self._check_ray()
            _, waiting = ray.wait(waiting, num_returns=len(waiting), timeout=POLL_SECONDS, fetch_local=False)
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
        if differ := compared([info for _, info in known], self._timing_device):
            yield Notice(differ)
        for member, info in known:
            yield from self._join(member, info, places)

    def _info(self, member: Member) -> WorkerInfo | None:
        """The info of a worker that is among the first; None if it is to be started again.

        So it is where its process was killed, or where its device fails, which may be one of many.

        Raises:
            WorkersError: the worker raised another exception while it started.
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
        if names_device_fault(reason):
            return None
        raise WorkersError(f"worker {member.slot.index} did not start: {reason}")

    def _join(self, member: Member, info: WorkerInfo, places: TimingPlaces) -> Iterator[Event]:
        """Makes a started worker free for trials, unless its device's step times could not be compared."""
        member.ready = None
        said = info.device_name, info.precision
        refusal = self._failing.refusal(info) or places.join(member.slot.index, *said)
        if refusal is not None:
            # It is left running: its device would otherwise be given to the next worker.
            yield Notice(f"worker {member.slot.index} on {info.host} is not used: {refusal}")
            if self._more_slots is None and not any(other.may_run for other in self._members.values()):
                raise WorkersError(f"no worker is left; the last one was not used: {refusal}")
            return
        member.info, member.failed_starts = info, 0
        yield WorkerJoined(slot=member.slot.index, info=info)

    def _started_later(self, member: Member, places: TimingPlaces) -> Iterator[Event]:
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
            self._last_notice = self._last_used = now
        elif now - self._last_notice > SECONDS_BETWEEN_NOTICES:
            self._last_notice = now
            minutes = round((now - self._last_used) / 60)
            comes = "one to start" if self._local is not None else "a node to join, or to come back"
            yield Notice(f"no worker has been there to run trials for {minutes} min; waiting for {comes}")

    # ------------------------------------------------------------------ trials

    def _dispatch(self, places: TimingPlaces) -> None:
        """Gives each free worker a trial, if there is one for it."""
        for member in self._members.values():
            if not member.is_free:
                continue
            trial = places.next_for(member.slot.index)
            if trial is not None:
                member.stream = member.actor.run.options(num_returns="streaming").remote(trial)
                member.begins(trial)
            elif places.are_alike:
                return  # no trial for one worker means none for any; do not ask for the others

    def _handle(self, member: Member, each: Any, places: TimingPlaces) -> Iterator[Event]:
        """Handles a result that has arrived: a start, the check after a trial, or a trial's next event."""
        if each is member.ready:
            yield from self._started_later(member, places)
        elif each is member.checked:
            yield from self._after_check(member, places)
        else:
            yield from self._next_event(member, places)

    def _next_event(self, member: Member, places: TimingPlaces) -> Iterator[Event]:
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
            yield from self._lost(member, places, cause(error), preempted=bool(error.preempted))
            return
        except RayTaskError as error:  # the trial raised; its worker lives
            places.ended(member.trial)
            self._trial_ended()
            yield TrialResult(trial=member.trial, status="crashed", failure_kind="bug", error=cause(error))
            member.stream = member.trial = None
            return
        member.heard = time.monotonic()
        if isinstance(event, TimingPart):
            member.is_over = True
            places.timed(event)
            return
        if isinstance(event, TrialResult):
            member.is_over = True
            places.ended(member.trial)
            self._trial_ended()
        yield replace(event, slot=member.slot.index) if isinstance(event, Progress) else event

    def _trial_ended(self) -> None:
        if self._local is not None:
            self._local.trial_ended()

    def _after_check(self, member: Member, places: TimingPlaces) -> Iterator[Event]:
        """Frees a worker after a trial, or replaces it if it is worn out or does not answer."""
        import ray
        from ray.exceptions import RayActorError, RayTaskError

        try:
            wear: Wear | None = ray.get(member.checked)
        except (RayActorError, RayTaskError) as error:
            wear = Wear(cause(error))
        member.checked = None
        if wear is None:
            self._failing.worked(member.info)
            return
        if wear.device_failed:
            self._failing.failed(member.info, member.last_trial)
        places.leave(member.slot.index)
        ray.kill(member.actor)
        self._replace(member)
        yield Notice(f"worker {member.slot.index} is replaced: {wear.reason}")

    def _lost(
        self, member: Member, places: TimingPlaces, reason: str, *, preempted: bool = False
    ) -> Iterator[TrialResult]:
        """Starts another worker in the place of a lost one; a crashed result if its trial had not ended."""
        trial = member.trial
        assert trial is not None, "who runs nothing loses nothing"
        if not member.is_over:  # else lost between its last event and the end of its stream
            places.ended(trial)
        places.leave(member.slot.index)
        if member.slot.device.startswith("cuda") and not preempted:  # some faults end the process
            self._failing.failed(member.info, trial.trial_id)
        self._kill(member)  # it may still live, out of reach for a moment, and must not use the device
        self._replace(member)
        if not member.is_over:
            yield lost_result(member, reason, preempted=preempted)

    def _kill_stalled(self, places: TimingPlaces) -> Iterator[Event]:
        """Kills workers whose trial has yielded no event for too long."""
        now = time.monotonic()
        for member in list(self._members.values()):
            if member.trial is None or now - member.heard < self._stall_seconds:
                continue
            yield from self._lost(member, places, f"it gave no sign of life for {int(now - member.heard)} s")

    def _kill(self, member: Member) -> None:
        """Kills a worker's process, even if it is stopped (SIGSTOP) and does not react to Ray."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        ray.kill(member.actor)
        if member.info is None:
            return
        # SIGKILL, which a stopped process cannot ignore; on a cluster sent by a task on its own node.
        if self._local is not None:
            kill_process(member.info.pid)
        else:
            there = NodeAffinitySchedulingStrategy(node_id=member.info.node_id, soft=False)
            ray.remote(kill_process).options(num_cpus=0, scheduling_strategy=there).remote(member.info.pid)

"""A slot of a pool and its actor, and the result of a trial whose actor is lost."""

import time
from dataclasses import dataclass
from typing import Any

from trials.trial import Slot, Trial, TrialResult, WorkerInfo


@dataclass
class Member:
    """The actor of one slot and its state: starting, free, running a trial, or checked for wear.

    `ready`, `stream` and `checked` are Ray references to results that will come.
    """

    slot: Slot
    actor: Any
    ready: Any  # its WorkerInfo; None once it has arrived
    info: WorkerInfo | None = None  # None while it starts, and for a worker that is not used
    stream: Any = None  # of events, while it runs a trial
    trial: Trial | None = None
    last_trial: int = -1  # the id of its latest trial
    is_over: bool = False  # its trial has ended, and the end of the stream is still to come
    heard: float = 0.0  # monotonic time of its last event
    checked: Any = None  # the reason to replace it, or None, after a trial
    failed_starts: int = 0

    def begins(self, trial: Trial) -> None:
        """Notes that it has been given a trial."""
        self.trial, self.last_trial = trial, trial.trial_id
        self.is_over, self.heard = False, time.monotonic()

    @property
    def is_free(self) -> bool:
        """True if it can take a trial."""
        return self.info is not None and self.trial is None and self.checked is None

    @property
    def may_run(self) -> bool:
        """True if it runs trials, or may do so once it has started."""
        return self.info is not None or self.ready is not None

    @property
    def waitables(self) -> list[Any]:
        """The references of Ray whose end it waits for."""
        return [each for each in (self.ready, self.stream, self.checked) if each is not None]


def lost_result(member: Member, reason: str, *, preempted: bool = False) -> TrialResult:
    """The crashed result of a trial whose worker is lost."""
    assert member.trial is not None, "who runs nothing loses nothing"
    where = member.info.host if member.info else "an unknown host"
    died = f"worker {member.slot.index} on {where} died while it ran trial {member.trial.trial_id}"
    return TrialResult(
        trial=member.trial,
        status="crashed",
        failure_kind="preempted" if preempted else "worker_lost",
        error=f"{died}: {reason}",
    )


def cause(error: Exception) -> str:
    """The message of a remote error: that of the original exception, if Ray knows it."""
    return str(getattr(error, "cause", None) or error)

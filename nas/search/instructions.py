"""Instructions of a queue of trials to the loop that carries them out."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from trials.trial import Ask, Outcome


@dataclass(frozen=True)
class RecordAsk:
    """Make a new ask durable."""

    ask: Ask


@dataclass(frozen=True)
class Run:
    """Dispatch the trial of a recorded ask."""

    ask: Ask
    attempt: int


@dataclass(frozen=True)
class AnswerFrom:
    """Write the row of an ask that an earlier trial of an equal architecture answers."""

    ask: Ask
    earlier: int  # that trial's number


@dataclass(frozen=True)
class AnswerByCrash:
    """Write the row of an ask that waited for an equal trial, which crashed for good, as crashed."""

    ask: Ask
    crashed: int  # that trial's number


@dataclass(frozen=True)
class Wait:
    """Run nothing until another event has been handled."""


Instruction = RecordAsk | Run | AnswerFrom | AnswerByCrash | Wait
Answer = AnswerFrom | AnswerByCrash


class Queue(Protocol):
    """Decides what is asked, run and answered.

    Whoever takes an instruction has carried it out when it takes the next one: the queue goes on from there.
    """

    def instructions(self) -> Iterator[Instruction]:
        """All that is left to do; ends when nothing is in flight and nothing more is wanted."""
        ...

    def due(self) -> Iterator[Answer]:
        """Answers that follow at once from trials that have ended."""
        ...

    def attempt_of(self, trial_id: int) -> int | None:
        """The current attempt at a trial in flight; None if it is not in flight."""
        ...

    def run_again(self, trial_id: int) -> int:
        """Queues another attempt at a trial whose worker was lost; returns the number of that attempt."""
        ...

    def ended(self, trial_id: int, outcome: Outcome | None, *, seconds: float) -> None:
        """Notes the end of a trial in flight; no outcome if it crashed. `seconds`: held on a device."""
        ...

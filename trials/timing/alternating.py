"""Two pieces of work timed in turn, so that drifts of the clock, the heat or the neighbours cancel.

Why so: 14 networks of 13 to 700 ms a step, 4 or 5 visits each, on one core of a virtual machine. The time of
the reference alone drifts by up to 8 % from visit to visit, and single steps scatter by 2 to 8 %, with a long
upper tail. Many short chunks tell more than few long ones (scatter over visits: 8 rounds of 25 ms, 0.4 s,
0.5 %; 6 rounds of 125 ms, 1.6 s, 0.7 %). Ratios to single neighbours tell more than to the mean of both, in
which one slow chunk of the reference spoils two ratios (4 rounds: 1.4 and 2.0 %).
"""

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

ROUNDS = 40  # at most; in quiet about 10 are enough, beside a busy core 20 to 40
EARLIEST_END = 8  # rounds; of 5 the scatter was now and then small by luck, and the ratio 4 % off
FEWEST_ROUNDS = 1
SLOW = 0.1  # of the time allowed: one call that takes more is its own warm-up and its own estimate
CHUNK_SECONDS = 0.025  # or one call
SURE = 0.005  # standard error of the ratio at which no more rounds are made
DOUBTFUL = 0.015  # beyond it the ratio is flagged: two standard errors are 3 %
OF_MEDIAN = 1.2533 * 1.4826  # standard error of a median of n, from their median deviation: times 1 / √n

Work = Callable[[], object]
Clock = Callable[[], float]


@dataclass(frozen=True)
class Alternated:
    """Seconds of one call of each in every chunk, R C R C … R, and what the measurement cost."""

    reference_seconds: tuple[float, ...]  # one more than candidate_seconds; none where it was timed alone
    candidate_seconds: tuple[float, ...]
    cost_seconds: float  # warm-up included

    @property
    def ratios(self) -> list[float]:
        """Each candidate chunk over each of the two reference chunks beside it; timed alone: 1."""
        reference = self.reference_seconds
        if not reference:
            return [1.0] * self.rounds
        return [c / r for i, c in enumerate(self.candidate_seconds) for r in reference[i : i + 2]]

    @property
    def ratio(self) -> float:
        """The candidate's time over the reference's: the median of the rounds' ratios."""
        return statistics.median(self.ratios)

    @property
    def spread(self) -> float:
        """Of the ratios, (p90 - p10) / median; of the seconds where it was timed alone."""
        p10, p90 = np.percentile(self._scattered, [10, 90])
        return float((p90 - p10) / statistics.median(self._scattered))

    @property
    def error(self) -> float:
        """The median's standard error, over the median; from the median deviation, which a tail leaves be."""
        median = statistics.median(self._scattered)
        deviation = statistics.median(abs(value - median) for value in self._scattered)
        return OF_MEDIAN * deviation / median / math.sqrt(self.rounds)

    @property
    def flag(self) -> str | None:
        """Why these values should be doubted; None if they should not."""
        return f"uncertain by {2 * self.error:.0%}" if self.error > DOUBTFUL else None

    @property
    def rounds(self) -> int:
        """How often both were timed."""
        return len(self.candidate_seconds)

    @property
    def candidate_median(self) -> float:
        """Seconds of the candidate's step."""
        return statistics.median(self.candidate_seconds)

    @property
    def reference_median(self) -> float:
        """Seconds of the reference's step."""
        return statistics.median(self.reference_seconds or self.candidate_seconds)

    @property
    def candidate_p10_p90(self) -> tuple[float, float]:
        """Seconds that a tenth, and that nine tenths, of the candidate's steps stay below."""
        p10, p90 = np.percentile(self.candidate_seconds, [10, 90])
        return float(p10), float(p90)

    @property
    def _scattered(self) -> list[float] | tuple[float, ...]:
        return self.ratios if self.reference_seconds else self.candidate_seconds


def alternate(
    candidate: Work,
    reference: Work | None,
    *,
    clock: Clock,
    max_seconds: float | None = None,
    max_calls: float = 0.0,
    fewest_rounds: int = FEWEST_ROUNDS,
    on_round: Callable[[float], None] | None = None,
) -> Alternated:
    """Times chunks of both in turn, after a warm-up, until the median of their ratios is sure.

    Without a reference the candidate is timed alone. `max_seconds`, or the time of `max_calls` calls of the
    candidate where that is more, makes slow work take fewer rounds (at least `fewest_rounds`) and less
    warm-up, and is exceeded only where even these take longer.
    """
    works = (candidate,) if reference is None else (candidate, reference)
    started = clock()
    once = {work: seconds_per_call(work, 1, clock) for work in works}  # builds plans, grows the allocator

    def most() -> float:
        return math.inf if max_seconds is None else max(max_seconds, max_calls * once[candidate])

    for work, seconds in once.items():
        if seconds <= SLOW * most():
            once[work] = seconds_per_call(work, 1, clock)
    calls = {work: max(1, round(CHUNK_SECONDS / max(seconds, 1e-6))) for work, seconds in once.items()}
    of_round = sum(calls[work] * once[work] for work in works)

    def chunk(work: Work | None) -> list[float]:
        return [] if work is None else [seconds_per_call(work, calls[work], clock)]

    reference_seconds, candidate_seconds = chunk(reference), []
    for done in range(1, ROUNDS + 1):
        candidate_seconds += chunk(candidate)
        reference_seconds += chunk(reference)
        spent = clock() - started
        result = Alternated(tuple(reference_seconds), tuple(candidate_seconds), spent)
        sure = done >= EARLIEST_END and result.error <= SURE
        ends = sure or done == ROUNDS or (done >= fewest_rounds and spent + of_round > most())
        if on_round is not None:
            on_round(1.0 if ends else done / ROUNDS)
        if ends:
            break
    return result


def seconds_per_call(work: Work, calls: int, clock: Clock) -> float:
    """The mean over that many calls in a row."""
    before = clock()
    for _ in range(calls):
        work()
    return (clock() - before) / calls

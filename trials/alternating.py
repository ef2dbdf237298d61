"""Two pieces of work timed in turn, so that drifts of the clock, the heat or the neighbours cancel."""

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

WARM_UP_CALLS = 2  # the first builds the kernels' plans and grows the allocator
ROUNDS = 5
FEWEST_ROUNDS = 1
SLOW = 0.1  # of the time allowed: one call that takes more is its own warm-up and its own estimate
CHUNK_SECONDS = 0.1  # single steps scatter by 10-20 % on CPU; chunks of this length by 2-3 %
WIDE_SPREAD = 0.10  # of the ratios, (p90 - p10) / median: measured again, then flagged

Work = Callable[[], object]
Clock = Callable[[], float]


@dataclass(frozen=True)
class Alternated:
    """Seconds of one piece of work in each chunk, R C R C … R, and what the measurement cost."""

    reference_seconds: tuple[float, ...]  # one more than candidate_seconds; none where it was timed alone
    candidate_seconds: tuple[float, ...]
    cost_seconds: float

    @property
    def ratios(self) -> list[float]:
        """Each candidate chunk over the mean of the reference chunks beside it; timed alone: 1."""
        reference = self.reference_seconds
        if not reference:
            return [1.0] * self.rounds
        return [2 * c / (reference[i] + reference[i + 1]) for i, c in enumerate(self.candidate_seconds)]

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)

    @property
    def spread(self) -> float:
        """Of the ratios, (p90 - p10) / median; of the seconds where it was timed alone."""
        scattered = self.ratios if self.reference_seconds else self.candidate_seconds
        p10, p90 = np.percentile(scattered, [10, 90])
        return float((p90 - p10) / statistics.median(scattered))

    @property
    def flag(self) -> str | None:
        """Why these values should be doubted; None if they should not."""
        return f"spread {self.spread:.0%}" if self.spread > WIDE_SPREAD else None

    @property
    def rounds(self) -> int:
        return len(self.candidate_seconds)

    @property
    def candidate_median(self) -> float:
        return statistics.median(self.candidate_seconds)

    @property
    def reference_median(self) -> float:
        return statistics.median(self.reference_seconds or self.candidate_seconds)

    @property
    def candidate_p10_p90(self) -> tuple[float, float]:
        p10, p90 = np.percentile(self.candidate_seconds, [10, 90])
        return float(p10), float(p90)


def alternate(
    candidate: Work,
    reference: Work | None,
    *,
    clock: Clock,
    max_seconds: float | None = None,
    on_round: Callable[[float], None] | None = None,
) -> Alternated:
    """Times chunks of both in turn after a warm-up; again with longer chunks if the ratios scatter.

    Without a reference the candidate is timed alone. `max_seconds` makes slow work take fewer rounds (at
    least FEWEST_ROUNDS) and less warm-up, and is exceeded only where even these take longer.
    """
    works = (candidate,) if reference is None else (candidate, reference)
    slow = math.inf if max_seconds is None else SLOW * max_seconds
    warm = {work: _warm_up(work, clock, slow) for work in works}
    started = clock()
    once = {
        work: seconds if seconds > slow else seconds_per_call(work, 1, clock)
        for work, seconds in warm.items()
    }
    rounds = ROUNDS
    if max_seconds is not None:
        chunks = sum(max(seconds, CHUNK_SECONDS) for seconds in once.values())
        rounds = min(max(int(max_seconds / chunks), FEWEST_ROUNDS), ROUNDS)
    result = _rounds(candidate, reference, 1.0, once, clock, rounds, on_round)
    in_time = max_seconds is None or 2 * (clock() - started) < max_seconds
    if result.spread > WIDE_SPREAD and in_time:
        result = _rounds(candidate, reference, 2.0, once, clock, rounds, on_round)
    return Alternated(result.reference_seconds, result.candidate_seconds, clock() - started)


def _warm_up(work: Work, clock: Clock, slow: float) -> float:
    """Seconds of the last of WARM_UP_CALLS, or of the first that is slow."""
    for _ in range(WARM_UP_CALLS):
        seconds = seconds_per_call(work, 1, clock)
        if seconds > slow:
            break
    return seconds


def seconds_per_call(work: Work, calls: int, clock: Clock) -> float:
    """The mean over that many calls in a row."""
    before = clock()
    for _ in range(calls):
        work()
    return (clock() - before) / calls


def _rounds(
    candidate: Work,
    reference: Work | None,
    factor: float,
    once: dict[Work, float],
    clock: Clock,
    rounds: int,
    on_round: Callable[[float], None] | None,
) -> Alternated:
    calls = {
        work: max(1, round(factor * CHUNK_SECONDS / max(seconds, 1e-6))) for work, seconds in once.items()
    }

    def chunk(work: Work | None) -> list[float]:
        return [] if work is None else [seconds_per_call(work, calls[work], clock)]

    reference_seconds, candidate_seconds = chunk(reference), []
    for i in range(rounds):
        candidate_seconds += chunk(candidate)
        reference_seconds += chunk(reference)
        if on_round is not None:
            on_round((i + 1) / rounds)
    return Alternated(tuple(reference_seconds), tuple(candidate_seconds), 0.0)

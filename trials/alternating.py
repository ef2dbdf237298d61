"""Two pieces of work timed in turn, so that drifts of the clock, the heat or the neighbours cancel."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

ROUNDS = 5
FEWEST_ROUNDS = 2
CHUNK_SECONDS = 0.1  # single steps scatter by 10-20 % on CPU; chunks of this length by 2-3 %
WIDE_SPREAD = 0.10  # of the ratios, (p90 - p10) / median: measured again, then flagged

Work = Callable[[], object]
Clock = Callable[[], float]


@dataclass(frozen=True)
class Alternated:
    """Seconds of one piece of work in each chunk, R C R C … R, and what the measurement cost."""

    reference_seconds: tuple[float, ...]  # one more than candidate_seconds
    candidate_seconds: tuple[float, ...]
    cost_seconds: float

    @property
    def ratios(self) -> list[float]:
        """Each candidate chunk over the mean of the reference chunks beside it."""
        reference = self.reference_seconds
        return [2 * c / (reference[i] + reference[i + 1]) for i, c in enumerate(self.candidate_seconds)]

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)

    @property
    def spread(self) -> float:
        """Of the ratios, (p90 - p10) / median."""
        p10, p90 = np.percentile(self.ratios, [10, 90])
        return float((p90 - p10) / self.ratio)

    @property
    def flag(self) -> str | None:
        """Why these values should be doubted; None if they should not."""
        return f"spread {self.spread:.0%}" if self.spread > WIDE_SPREAD else None

    @property
    def rounds(self) -> int:
        return len(self.candidate_seconds)

    @property
    def candidate_p10_p90(self) -> tuple[float, float]:
        p10, p90 = np.percentile(self.candidate_seconds, [10, 90])
        return float(p10), float(p90)


def alternate(
    candidate: Work,
    reference: Work,
    *,
    clock: Clock,
    max_seconds: float | None = None,
    on_round: Callable[[float], None] | None = None,
) -> Alternated:
    """Times chunks of both in turn; again with longer chunks if the ratios scatter.

    Both should have run before. `max_seconds` makes slow work take fewer rounds (at least FEWEST_ROUNDS), and
    is exceeded only where even these take longer.
    """
    started = clock()
    once = {work: seconds_per_call(work, 1, clock) for work in (candidate, reference)}
    rounds = ROUNDS
    if max_seconds is not None:
        pair = sum(max(seconds, CHUNK_SECONDS) for seconds in once.values())
        rounds = min(max(int(max_seconds / pair), FEWEST_ROUNDS), ROUNDS)
    result = _rounds(candidate, reference, 1.0, once, clock, rounds, on_round)
    in_time = max_seconds is None or clock() - started < max_seconds
    if result.spread > WIDE_SPREAD and in_time:
        result = _rounds(candidate, reference, 2.0, once, clock, rounds, on_round)
    return Alternated(result.reference_seconds, result.candidate_seconds, clock() - started)


def seconds_per_call(work: Work, calls: int, clock: Clock) -> float:
    """The mean over that many calls in a row."""
    before = clock()
    for _ in range(calls):
        work()
    return (clock() - before) / calls


def _rounds(
    candidate: Work,
    reference: Work,
    factor: float,
    once: dict[Work, float],
    clock: Clock,
    rounds: int,
    on_round: Callable[[float], None] | None,
) -> Alternated:
    calls = {
        work: max(1, round(factor * CHUNK_SECONDS / max(seconds, 1e-6))) for work, seconds in once.items()
    }
    reference_seconds = [seconds_per_call(reference, calls[reference], clock)]
    candidate_seconds: list[float] = []
    for i in range(rounds):
        candidate_seconds.append(seconds_per_call(candidate, calls[candidate], clock))
        reference_seconds.append(seconds_per_call(reference, calls[reference], clock))
        if on_round is not None:
            on_round((i + 1) / rounds)
    return Alternated(tuple(reference_seconds), tuple(candidate_seconds), 0.0)

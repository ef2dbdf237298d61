"""Times two pieces of work in turn (R C R C … R), so that drifts of clock, heat and load cancel in the ratio.

The constants come from 14 networks of 13 to 700 ms a step, measured 4 or 5 times each on one core of a
virtual machine. The time of the reference alone drifts by up to 8 % between measurements, and single steps
scatter by 2 to 8 %, with a long upper tail; hence medians. Many short chunks are better than few long ones
(scatter of the ratio: 0.5 % with 8 rounds of 25 ms, which take 0.4 s; 0.7 % with 6 rounds of 125 ms, 1.6 s).
Dividing by each neighbour is better than by the mean of both, in which one slow chunk of the reference spoils
two ratios (with 4 rounds 1.4 and 2.0 %).
"""

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

ROUNDS = 40  # at most; on a quiet machine about 10 are enough, beside a busy core 20 to 40
EARLIEST_END = 8  # rounds; after 5 the scatter was sometimes small by chance, and the ratio 4 % off
FEWEST_ROUNDS = 1
CHUNK_SECONDS = 0.025  # or one call
# On CUDA a chunk also holds the launch of its first call and the wait for its last, about 45 us: 0.27 % of
# the shortest chunk that 0.025 s give (a call of 17 ms), almost nothing of a long call; 0.17 % with 0.04 s.
CUDA_CHUNK_SECONDS = 0.04
TARGET_ERROR = 0.005  # relative standard error of the ratio at which timing ends
UNCERTAIN_ERROR = 0.015  # above it the ratio is flagged: two standard errors are then 3 %
# Standard error of the median of n normal values, from their median absolute deviation (MAD), times √n: the
# standard deviation is 1.4826 MAD, and a median's error √(π / 2) = 1.2533 times that of the mean.
MEDIAN_ERROR = 1.2533 * 1.4826

Work = Callable[[], object]
Clock = Callable[[], float]


@dataclass(frozen=True)
class Alternated:
    """Seconds per call in each chunk of reference and candidate (R C R C … R), and the total cost."""

    reference_seconds: tuple[float, ...]  # one more than candidate_seconds; empty without a reference
    candidate_seconds: tuple[float, ...]
    cost_seconds: float  # warm-up included

    @property
    def ratios(self) -> list[float]:
        """Each candidate chunk over either of its two neighbours; 1 for each round without a reference."""
        reference = self.reference_seconds
        if not reference:
            return [1.0] * self.rounds
        return [c / r for i, c in enumerate(self.candidate_seconds) for r in reference[i : i + 2]]

    @property
    def ratio(self) -> float:
        """The candidate's time over the reference's: the median of all ratios."""
        return statistics.median(self.ratios)

    @property
    def spread(self) -> float:
        """(p90 - p10) / median of the ratios, or of the seconds without a reference."""
        p10, p90 = np.percentile(self._scattered, [10, 90])
        return float((p90 - p10) / statistics.median(self._scattered))

    @property
    def error(self) -> float:
        """Relative standard error of the median, from the median absolute deviation: robust to the tail.

        Two ratios of a round share a chunk, so the number of independent values is that of rounds.
        """
        median = statistics.median(self._scattered)
        deviation = statistics.median(abs(value - median) for value in self._scattered)
        return MEDIAN_ERROR * deviation / median / math.sqrt(self.rounds)

    @property
    def flag(self) -> str | None:
        """The reason why the result is uncertain; None if it is not."""
        return f"uncertain by {200 * self.error:.0f} %" if self.error > UNCERTAIN_ERROR else None

    @property
    def rounds(self) -> int:
        """The number of rounds, each with one chunk of the candidate."""
        return len(self.candidate_seconds)

    @property
    def candidate_median(self) -> float:
        """Median seconds of a call of the candidate."""
        return statistics.median(self.candidate_seconds)

    @property
    def reference_median(self) -> float:
        """Median seconds of a call of the reference, or of the candidate if there is none."""
        return statistics.median(self.reference_seconds or self.candidate_seconds)

    @property
    def candidate_p10_p90(self) -> tuple[float, float]:
        """The 10th and the 90th percentile of the candidate's seconds per call."""
        p10, p90 = np.percentile(self.candidate_seconds, [10, 90])
        return float(p10), float(p90)

    @property
    def _scattered(self) -> list[float] | tuple[float, ...]:
        return self.ratios if self.reference_seconds else self.candidate_seconds


def chunk_seconds_on(device_type: str) -> float:
    """Seconds that a chunk of calls is to take on a kind of device."""
    return CUDA_CHUNK_SECONDS if device_type == "cuda" else CHUNK_SECONDS


def alternate(
    candidate: Work,
    reference: Work | None,
    *,
    clock: Clock,
    chunk_seconds: float | None = None,
    max_seconds: float | None = None,
    max_calls: float = 0.0,
    fewest_rounds: int = FEWEST_ROUNDS,
    on_round: Callable[[float], None] | None = None,
) -> Alternated:
    """Times chunks of both in turn, after a warm-up, until the median of their ratios is certain enough.

    Without a reference the candidate is timed alone. The time allowed is `max_seconds`, or that of
    `max_calls` calls of the candidate if that is more. It is exceeded only if `fewest_rounds` rounds take
    longer, and by what the first call of either takes longer than others.

    Args:
        clock: seconds, as `trials.devices.device.clock_of`.
        chunk_seconds: that a chunk of calls takes, or one call; default: CHUNK_SECONDS.
        on_round: called after every round with the share (0-1) of the rounds that are done.
    """
    works = (candidate,) if reference is None else (candidate, reference)
    started = clock()
    # Step 1: warm up, once each. A first call chooses kernels, grows the allocator or records a graph: its
    # time says nothing of the next one's, and does not count against the time allowed.
    for work in works:
        work()
    warmed_up = clock()
    # Step 2: the first chunks, R C R, with as many calls as fill chunk_seconds: a single call says how many;
    # where one fills the chunk, it is the chunk.
    filled = CHUNK_SECONDS if chunk_seconds is None else chunk_seconds
    calls: dict[Work, int] = {}

    def chunk(work: Work | None) -> list[float]:
        if work is None:
            return []
        if work not in calls:
            seconds = seconds_per_call(work, 1, clock)
            calls[work] = max(1, round(filled / max(seconds, 1e-6)))
            if calls[work] == 1:
                return [seconds]
        return [seconds_per_call(work, calls[work], clock)]

    # Step 3: chunks in turn, beginning and ending with the reference, so that every candidate chunk has two
    # neighbours. The end: certain enough, or the time allowed would not suffice for another round.
    reference_seconds, candidate_seconds = chunk(reference), []
    for done in range(1, ROUNDS + 1):
        candidate_seconds += chunk(candidate)
        reference_seconds += chunk(reference)
        now = clock()
        result = Alternated(tuple(reference_seconds), tuple(candidate_seconds), now - started)
        # The warm-up counts as if its calls had been ordinary ones.
        call_seconds = {candidate: result.candidate_median}
        if reference is not None:
            call_seconds[reference] = result.reference_median
        spent = now - warmed_up + sum(call_seconds[work] for work in works)
        round_seconds = sum(calls[work] * call_seconds[work] for work in works)
        allowed = math.inf if max_seconds is None else max(max_seconds, max_calls * result.candidate_median)
        certain = done >= EARLIEST_END and result.error <= TARGET_ERROR
        ends = certain or done == ROUNDS or (done >= fewest_rounds and spent + round_seconds > allowed)
        if on_round is not None:
            on_round(1.0 if ends else done / ROUNDS)
        if ends:
            break
    return result


def seconds_per_call(work: Work, calls: int, clock: Clock) -> float:
    """Mean seconds of a call, over `calls` calls in a row."""
    before = clock()
    for _ in range(calls):
        work()
    return (clock() - before) / calls

"""Two workers on one GPU against one: trials an hour of the same search."""

from collections.abc import Iterator

from benchmarks.gpu.conditions import Conditions
from benchmarks.gpu.figures import Row, several
from benchmarks.gpu.whole_search import searched

from trials.devices.mps import mps_runs

TRIALS = 8


def measure(conditions: Conditions) -> Iterator[Row]:
    """Yields the rate with one worker and with two, and their ratio."""
    number, rates = conditions.sized(TRIALS, 2), []
    for workers in (1, 2):
        words = ("--workers", str(workers), "--per-device", str(workers))
        seconds = conditions.seconds_left / (3 - workers)
        found = searched(conditions, f"workers-{workers}", trials=number, seconds=seconds, words=words)
        rates.append(found.per_hour)
        yield Row(
            f"{workers} on a GPU",
            {
                "trials": len(found.trials),
                "trials/h": found.per_hour,
                "s waited": several(list(found.trials["waiting_seconds"].fillna(0))),
                "flagged": int(found.trials["timing_flag"].notna().sum()),
            },
        )
    service = "MPS runs" if mps_runs() else "no MPS: they take turns"
    words = (
        f"two workers on a GPU do {rates[1] / rates[0]:.2f}x the trials of one ({service}; n = 1 search each)"
    )
    yield Row("two over one", {"ratio": rates[1] / rates[0], "multi-process service": service}, words)

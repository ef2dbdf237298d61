"""The CPU time of the driver for a trial with the durable log, and its waits for the disk.

    python tests/benchmarks/driver_time.py [--trials 400] [--passes 5] [--strategy random_search]
                                           [--epochs 10] [--against FOLDER] [--folder DIR] [--json FILE]

Processor time (user and system) of the driver's thread, for trials whose workers compute a formula and whose
own time is left out; eight are in flight. Views, which are replaced by the clock and not by the trial, are
listed beside it. `--against`: another checkout of this repository; both are measured in turn. Each pass is a
process of its own. `--folder` (default: the current one) decides which disk is measured.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "fixtures"))

from formula import formula_worker

from nas.events import Begun, RowWritten
from nas.search.config import SearchConfig, read_search_config
from nas.search.search import search
from trials.executors.simulated import simulated
from trials.images.data_record import DataFacts
from trials.log.store import RunStore
from trials.trial import Event, RunTrial, Slot, Trial

ROOT = Path(__file__).parent.parent.parent
IN_FLIGHT = 8
WARM_UP = 20  # trials that are not counted
IMAGES = DataFacts(
    source="digits", digest="", split_digest="", train=1347, minival=150,
    classes=tuple("0123456789"), images_of_classes=(150,) * 10, unreadable=(), notes=(),
)  # fmt: skip
SYSTEM_CALLS = ("fsync", "open", "link", "unlink", "stat")


class Clock:
    """Seconds of the processor by what they were spent on, and calls of the system."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        for name in SYSTEM_CALLS:
            self._count(name)
        for method in ("record_ask", "record_trial", "refresh_views"):
            setattr(RunStore, method, self.timed(method, getattr(RunStore, method)))

    def _count(self, name: str) -> None:
        inner = getattr(os, name)

        def counted(*values: Any, **options: Any) -> Any:
            self.calls[name] += 1
            return inner(*values, **options)

        setattr(os, name, counted)

    def timed(self, label: str, inner: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, whose time is added up."""

        def timed(*values: Any, **options: Any) -> Any:
            begun = time.thread_time()
            try:
                return inner(*values, **options)
            finally:
                self.seconds[label] += time.thread_time() - begun

        return timed

    def worker(self, slot: Slot) -> RunTrial:
        """A worker whose trials compute a formula, outside the driver's time."""
        events_of = self.timed("workers", lambda trial: list(formula_worker(slot)(trial)))

        def run(trial: Trial) -> Iterator[Event]:
            yield from events_of(trial)

        return run

    def now(self) -> Counter[str]:
        """All counts and times at this moment."""
        return Counter(
            {
                **self.seconds,
                **self.calls,
                "process": time.process_time(),
                "thread": time.thread_time(),
                "system": os.times().system,
            }
        )


def configuration(options: argparse.Namespace) -> SearchConfig:
    """A search of the paper's space whose first trials are the strategy's."""
    return read_search_config(
        "efficientnetv2",
        overrides=[
            "data.source=digits",
            f"budget.trials={options.trials}",
            f"recipe.epochs={options.epochs}",
            f"strategy={{name: {options.strategy}}}",
            "baseline=0",
            "finalists=null",
        ],
    )


def measured(options: argparse.Namespace) -> dict[str, float]:
    """Figures of one search: milliseconds and calls for a trial."""
    clock = Clock()
    begun = time.process_time()
    marks: list[Counter[str]] = []

    with tempfile.TemporaryDirectory(dir=options.folder) as folder:

        def note(event: object) -> None:
            if isinstance(event, Begun):  # as a search of real images has it
                (Path(folder) / "run" / "data.json").write_text(json.dumps(asdict(IMAGES)))
            if isinstance(event, RowWritten):
                marks.append(clock.now())

        search(
            configuration(options),
            Path(folder) / "run",
            execute=simulated(workers=IN_FLIGHT),
            start=clock.worker,
            on_event=note,
        )
    first, last = marks[WARM_UP], marks[-1]
    count = len(marks) - 1 - WARM_UP
    spent = {name: (last[name] - first[name]) / count for name in last}
    left_out = spent["workers"] + spent["refresh_views"]
    return {
        "driver_ms": 1000 * (spent["thread"] - left_out),
        "of_which_system_ms": 1000 * spent["system"],
        "ask_recorded_ms": 1000 * spent["record_ask"],
        "row_recorded_ms": 1000 * spent["record_trial"],
        "the_rest_ms": 1000 * (spent["thread"] - left_out - spent["record_ask"] - spent["record_trial"]),
        "other_threads_ms": 1000 * (spent["process"] - spent["thread"]),
        "views_ms": 1000 * spent["refresh_views"],
        "until_first_row_s": marks[0]["process"] - begun,
        **{f"{name}_calls": spent[name] for name in SYSTEM_CALLS},
    }


def passed(root: Path, arguments: list[str]) -> dict[str, float]:
    """The figures of one pass in a process of its own, with the code of this checkout."""
    done = subprocess.run(
        [sys.executable, __file__, *arguments, "--once"],
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=True,
    )
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def main() -> None:
    """Prints median, lowest and highest of each figure, of each checkout."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--trials", type=int, default=400)
    parser.add_argument("--passes", type=int, default=5)
    parser.add_argument("--strategy", default="random_search")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--against", type=Path)
    parser.add_argument("--folder", type=Path, default=Path())
    parser.add_argument("--json", type=Path)
    parser.add_argument("--once", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.once:
        print(json.dumps(measured(options)))
        return
    names = ("trials", "strategy", "epochs", "folder")
    arguments = [text for name in names for text in (f"--{name}", str(getattr(options, name)))]
    roots = {"here": ROOT} | ({"against": options.against.resolve()} if options.against else {})
    passes: dict[str, list[dict[str, float]]] = {label: [] for label in roots}
    for _ in range(options.passes):
        for label, root in roots.items():
            passes[label].append(passed(root, arguments))
    for name in passes["here"][0]:
        line = f"{name:20}"
        for label, figures in passes.items():
            values = [figure[name] for figure in figures]
            line += f"  {label} {statistics.median(values):8.3f} ({min(values):.3f} - {max(values):.3f})"
        print(line)
    if options.json:
        options.json.write_text(json.dumps(passes, indent=1))


if __name__ == "__main__":
    main()

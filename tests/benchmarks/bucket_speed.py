"""Cost of a long run in an object store on a machine that has never seen it: to read it, and to continue it.

    python tests/benchmarks/bucket_speed.py [--trials 10000] [--latency 0.03] [--repeats 3] [--json FILE]

The store is one in memory, each of whose requests takes the latency; the search is one of the formula worker,
in simulated time. "reading" fetches all of the log and verifies it; "continuing" also rebuilds the strategy,
asks for one more trial, and writes that down.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "fixtures"))

from fault_store import FaultyStore, Request
from formula import formula_worker

from nas.search.config import SearchConfig, read_search_config
from nas.search.search import search
from trials.executors.simulated import simulated
from trials.log.bucket_files import BucketFiles
from trials.log.run_reader import read_run
from trials.log.store import RunStore

URL = "s3://bucket/runs/long"


def config_of(trials: int) -> SearchConfig:
    """The quick search, with so many trials of its small space, and no finalists."""
    return read_search_config(
        "quick", overrides=["recipe.epochs=10", "baseline=20", "finalists=null", f"budget.trials={trials}"]
    )


def files_in(folder: Path, store: FaultyStore) -> BucketFiles:
    """The run's files on a machine that has none of them."""
    client: Any = store
    files = BucketFiles(folder, URL, store=client)
    files.refresh()
    return files


def continued(folder: Path, store: FaultyStore, trials: int) -> None:
    """Searches on until there are so many trials."""
    files = files_in(folder, store)
    open_run = partial(RunStore, files=files)
    search(config_of(trials), folder, execute=simulated(), start=formula_worker, open_run=open_run)


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--latency", type=float, default=0.03, help="seconds of each request")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()

    def wait(_: Request) -> None:
        time.sleep(options.latency)

    seconds: dict[str, list[float]] = {"reading": [], "continuing": []}
    requests: dict[str, dict[str, int]] = {}
    with tempfile.TemporaryDirectory() as name:
        here, inner = Path(name), FaultyStore().inner
        begun = time.perf_counter()
        continued(here / "first" / "run", FaultyStore(inner), options.trials)
        print(f"a search of {options.trials:,} trials: {time.perf_counter() - begun:.0f} s", flush=True)
        for repeat in range(options.repeats):
            for what in seconds:
                store = FaultyStore(inner, watch=wait)
                folder = here / f"{what}-{repeat}" / "run"
                begun = time.perf_counter()
                if what == "reading":
                    files_in(folder, store)
                    assert len(read_run(folder).trials) == options.trials + repeat
                else:
                    continued(folder, store, options.trials + repeat + 1)
                seconds[what].append(time.perf_counter() - begun)
                requests[what] = dict(store.counts())
                print(f"{what}: {seconds[what][-1]:.2f} s, requests {requests[what]}", flush=True)
    medians = {what: statistics.median(taken) for what, taken in seconds.items()}
    print({what: f"{median:.2f} s (n = {options.repeats})" for what, median in medians.items()})
    if options.json is not None:
        facts = {
            "seconds": seconds,
            "requests": requests,
            "trials": options.trials,
            "latency": options.latency,
        }
        options.json.write_text(json.dumps(facts, indent=1))


if __name__ == "__main__":
    main()

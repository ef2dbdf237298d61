"""What bound stopping would have saved and lost in runs that trained everything.

    python tests/benchmarks/bound_stopping.py RUN [RUN ...] [--bounds 0.5 0.6 0.8 1.0]

Walks through each run's trials in the order in which they ended. A trial that could not have reached the
best reward so far even with the accuracy `bound` would have been stopped once its step time was known: its
training and evaluation are saved. It is lost if its real reward was better than that best:
the bound was too low.
"""

import argparse
from pathlib import Path
from typing import Any

import yaml

from nas.search.config import SearchConfig
from search_spaces.settings.yaml_files import from_mapping
from trials.log.run_reader import recorded_trials
from trials.reward import Reward


def stopped(run: Path, bound: float) -> dict[str, Any]:
    """How many trials, which share of the training, and how many that were better than the best before."""
    config = from_mapping(SearchConfig, yaml.safe_load((run / "search.yaml").read_text()), name=str(run))
    reward = Reward(config.reward)
    rows = [
        row
        for row in sorted(recorded_trials(run), key=lambda row: row["tell_seq"])
        if row["status"] == "completed" and row["purpose"] in ("search", "baseline")
    ]
    best, found = 0.0, {"trials": len(rows), "stopped": 0, "saved": 0.0, "seconds": 0.0, "lost": 0}
    for row in rows:
        seconds = row["train_seconds"] + row["evaluate_seconds"]
        found["seconds"] += seconds + row["build_seconds"] + row["timing_seconds"]
        most = reward.of_row({**row, "accuracy": bound})
        if most < best:
            found["stopped"] += 1
            found["saved"] += seconds
            found["lost"] += row["reward"] > best
            continue  # what is stopped is never the best
        best = max(best, row["reward"])
    return found


def main() -> None:
    """A line for each run and bound."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--bounds", type=float, nargs="+", default=[0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
    arguments = parser.parse_args()
    print("run                        bound   trials  stopped  device-seconds saved  lost")
    for run in arguments.runs:
        for bound in arguments.bounds:
            found = stopped(run, bound)
            print(
                f"{run.name[:24]:24s}  {bound:6.2f}  {found['trials']:7d}  {found['stopped']:7d}  "
                f"{found['saved']:8.0f} s = {found['saved'] / found['seconds']:6.1%}  {found['lost']:8d}"
            )


if __name__ == "__main__":
    main()

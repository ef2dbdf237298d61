"""Whether S of a search whose two workers share one device agrees with S measured when nobody else is there.

    taskset -c 0 python tests/benchmarks/shared_device.py SOURCE [--trials 12] [--run FOLDER]

Searches with two workers on this machine's first device (`--per-device 2`; taskset leaves a CPU one core), so
that one trial trains while the other is timed. Then measures the step times of the same architectures again
in quiet (as `nas measure --run`), and prints how far the search's are from these.
"""

import argparse
import statistics
import sys
from pathlib import Path

from rich.console import Console

from nas.commands.search import launch_search
from nas.measuring.retarget import retarget
from trials.devices.device import available_slots

NEAR = 0.03


def main() -> int:
    """Prints the differences; exit code 1 if an unflagged ratio is more than 3 % off."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--images", type=float, default=0.04, help="share of the data set")
    parser.add_argument("--search", default="nas/searches/cifar10.yaml")
    parser.add_argument("--run", type=Path, default=Path("runs/shared_device"))
    arguments = parser.parse_args()
    result = launch_search(
        arguments.search,
        arguments.run,
        overrides=[
            f"data.source={arguments.source}", f"data.fraction={arguments.images}", "recipe.epochs=2",
            "recipe.batch_size=64", "strategy={name: random_search}", "baseline=0",
            f"budget={{trials: {arguments.trials}}}", "finalists=null",
        ],
        workers=2,
        ray_address=None,
        per_device=-(-2 // len(available_slots())),
        console=Console(stderr=True),
    )  # fmt: skip
    rows = {row["trial_id"]: row for row in result.rows}
    quiet = {trial.trial_id: trial for trial in retarget(arguments.run, top=arguments.trials).trials}
    print(" trial   shared    quiet     off   error  waited  flag")
    off = {}
    for number, trial in sorted(quiet.items()):
        before, after = trial.step_time_ratio_before, trial.step_time_ratio
        off[number] = before / after - 1
        shared = rows[number]
        print(
            f"{number:6d}  {before:7.4f}  {after:7.4f}  {off[number]:+6.1%}  "
            f"{shared['step_time_ratio_error']:6.2%}  {shared['waiting_seconds']:5.1f}s  "
            f"{shared['timing_flag'] or ''}"
        )
    sure = [abs(value) for number, value in off.items() if not rows[number]["timing_flag"]]
    print(
        f"{len(sure)} of {len(off)} unflagged; off by {statistics.median(sure):.2%} (median), "
        f"{max(sure):.2%} at most"
    )
    return int(max(sure) > NEAR)


if __name__ == "__main__":
    sys.exit(main())

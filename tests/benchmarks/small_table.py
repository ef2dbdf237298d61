"""The public table of `small`: every network of the space, with its step time, from finished runs of it.

    nas search nas/searches/exhaustive.yaml --set data.source=DATA/train.parquet --run runs/small
    nas measure --run runs/small --top 128            # step times once more, when nobody else computes
    python tests/benchmarks/small_table.py runs/small [more runs] -o analysis/tables/small_cifar10.parquet

Several runs are several seeds of the same networks: a column of accuracies each. The step time is that of
`nas measure --run` where the first run has it, else of the trials.
"""

import argparse
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from analysis.trial_rules import RETRAINED
from nas.search.best_file import architecture_of
from trials.log.run_reader import recorded_trials

DECIDED = ("op", "kernel_size", "expansion_ratio")  # by stage
KEPT = (
    "architecture_id",
    "choices",
    "params",
    "macs",
    "step_time_ratio",
    "step_time_ratio_spread",
    "step_seconds",
    "timing_flag",
)
OF_RUNS = ("accuracy", "minival_accuracy", "train_seconds")
MOST_BYTES = 2_000_000


def rows_of(run: Path) -> dict[str, dict[str, Any]]:
    """A run's completed trials by architecture."""
    completed = [row for row in recorded_trials(run) if row["status"] == "completed"]
    return {row["architecture_id"]: row for row in completed if row["purpose"] not in RETRAINED}


def measured_again(run: Path) -> dict[str, dict[str, Any]]:
    """What `nas measure --run` has added, by architecture; of one device."""
    files = sorted((run / "retarget").glob("*.parquet"))
    if len(files) > 1:
        raise SystemExit(f"{run}: measured on several devices: {', '.join(file.stem for file in files)}")
    return {row["architecture_id"]: row for file in files for row in pd.read_parquet(file).to_dict("records")}


def table(runs: list[Path]) -> pd.DataFrame:
    """A row for each network that has completed in every run."""
    by_run = [rows_of(run) for run in runs]
    again = measured_again(runs[0])
    names = set(by_run[0]).intersection(*by_run[1:])
    found = []
    for name in sorted(names, key=lambda name: by_run[0][name]["choices"]):
        row = {**by_run[0][name], **again.get(name, {})}
        line: dict[str, Any] = {column: row[column] for column in KEPT}
        for i, stage in enumerate(architecture_of(by_run[0][name]).stages):
            line |= {f"stage{i + 1}_{field}": getattr(stage, field) for field in DECIDED}
        for i, of_run in enumerate(by_run):
            line |= {f"{field}_{i + 1}": of_run[name][field] for field in OF_RUNS}
        seconds = [of_run[name]["train_seconds"] for of_run in by_run]
        found.append(
            {**line, "accuracy": sum(r[name]["accuracy"] for r in by_run) / len(runs)}
            | {"seconds": sum(seconds) / len(seconds)}
        )
    return pd.DataFrame(found)


def main() -> None:
    """Writes the table and says how many networks it has."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    frame = table(arguments.runs)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), arguments.output, compression="zstd")
    size = arguments.output.stat().st_size
    print(
        f"{arguments.output}: {len(frame)} networks, {len(arguments.runs)} trainings of each, {size:,} bytes"
    )
    assert size < MOST_BYTES


if __name__ == "__main__":
    main()

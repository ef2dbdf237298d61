"""Reading and re-ranking a million trials: seconds, in this process, after imports.

    python tests/benchmarks/million_rows.py [--rows 1000000] [--passes 3]

Rows are those of a synthetic run of 1,000 trials, with other numbers and rewards, in one view.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parent.parent / "fixtures"))

from synthetic_run import write_run

from analysis.frame import read_trials
from analysis.ranking import ranked, reranked
from trials.log.views import view_bytes

TERMS = {"step_time_ratio": -0.2, "params": -0.05}


def write_million(folder: Path, rows: int) -> None:
    """A run's view of so many rows."""
    write_run(folder, 1_000)
    table = pq.read_table(folder / "trials.parquet")
    whole = pa.concat_tables([table] * -(-rows // len(table))).slice(0, rows)
    rng = np.random.default_rng(0)
    for name, values in (
        ("trial_id", np.arange(rows)),
        ("accuracy", rng.uniform(0.2, 0.9, rows)),
        ("step_time_ratio", rng.uniform(0.3, 3.0, rows)),
    ):
        at = whole.schema.get_field_index(name)
        whole = whole.set_column(at, whole.schema.field(at), pa.array(values, whole.schema.field(at).type))
    (folder / "trials.parquet").write_bytes(view_bytes(whole))


def main() -> None:
    """Prints the seconds of each pass."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--passes", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        run = Path(temporary) / "run"
        write_million(run, arguments.rows)
        for _ in range(arguments.passes):
            begun = time.perf_counter()
            trials = read_trials(run)
            read = time.perf_counter()
            best = ranked(reranked(trials, TERMS), 10)
            done = time.perf_counter()
            print(
                f"{len(trials):,} rows of {trials.shape[1]} columns: read in {read - begun:.2f} s, "
                f"the best {len(best)} of another reward in {done - read:.2f} s"
            )


if __name__ == "__main__":
    main()

"""Copies of the checked-in runs of earlier versions, whole and with something wrong.

`python tests/old_runs.py FOLDER` writes the run of the second version anew, as this version writes it.
"""

import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from conftest import GOLDEN, formula_worker

from nas.config import SearchConfig
from nas.search import SearchResult, search
from search_spaces.counting import count
from search_spaces.yaml_io import from_mapping
from trials.executors.simulated import simulated
from trials.log_files import DIGEST, _digest, sealed_rows
from trials.log_schema import ASK_SCHEMA, SCHEMA_VERSION
from trials.store import RunStore
from trials.trial import Event, RunTrial, Slot, Trial, TrialResult

OLD_RUNS = GOLDEN
# The trials of each that have ended, and those in flight. Of the first, stopped by its user, 12 were to be
# trained. The second has ended: 8 trials and two repeats of each of two finalists, in segments of 4.
ENDED_AND_IN_FLIGHT = {"run_v1": (6, 1), "run_v2": (12, 0)}


def part(folder: Path, kind: str, trial_id: int) -> Path:
    """The file of one trial."""
    return folder / "log" / kind / f"t{trial_id:08d}.parquet"


def copy_old_run(folder: Path, version: str = "run_v1") -> Path:
    """The old run in that folder; with what opening it would create."""
    shutil.copytree(OLD_RUNS / version, folder)
    (folder / "log" / "quarantine").mkdir(exist_ok=True)
    (folder / "lock").touch()
    return folder


def lose_trial(folder: Path, trial_id: int) -> None:
    """Nothing is left of a trial."""
    for kind in ("asks", "trials", "epochs"):
        part(folder, kind, trial_id).unlink()


def make_later(folder: Path, trial_id: int) -> None:
    """An ask becomes one that a later version of the program has written."""
    path = part(folder, "asks", trial_id)
    (row,) = sealed_rows(path.read_bytes(), ASK_SCHEMA)
    table = pa.Table.from_pylist([{**row, "schema_version": SCHEMA_VERSION + 1}], schema=ASK_SCHEMA)
    pq.write_table(table.replace_schema_metadata({DIGEST: _digest(table.to_pylist())}), path)


# ---------------------------------------------------------------------- the run of the second version


def counted_worker(slot: Slot) -> RunTrial:
    """A worker whose trials compute a formula, and whose networks are counted: they can be exported."""
    inner = formula_worker(slot)

    def run_trial(trial: Trial) -> Iterator[Event]:
        found = count(trial.architecture, num_classes=10, resolution=16)
        for event in inner(trial):
            if isinstance(event, TrialResult) and event.measurement is not None:
                sizes = {"params": found.params, "macs": found.macs}
                event = replace(event, measurement=replace(event.measurement, **sizes), **sizes)
            yield event

    return run_trial


def run_counted(config: SearchConfig, folder: Path) -> SearchResult:
    """Searches with that worker, in segments of 4 trials."""
    open_run = partial(RunStore, segment_size=4)
    return search(config, folder, execute=simulated(), start=counted_worker, open_run=open_run)


def write_second_run(folder: Path) -> SearchResult:
    """The run of the second version; of the machine that wrote it, its environment says nothing."""
    mapping = {
        "space": "tiny",
        "data": {"source": "digits"},
        "recipe": {"epochs": 2, "batch_size": 64, "resolution": 16, "flip": False},
        "strategy": {"name": "evolution", "population": 4, "tournament": 2},
        "reward": {"step_time_ratio": -0.07, "params": -0.05},
        "baseline": 3,
        "budget": {"trials": 8},
        "finalists": {"count": 2, "repeats": 2},
    }
    result = run_counted(from_mapping(SearchConfig, mapping, name="search.yaml"), folder)
    for path in (folder / "environment").glob("*.json"):
        found = json.loads(path.read_text())
        found |= {"cpu": "a CPU", "host": "here", "command": ["nas"], "platform": "Linux"}
        path.write_text(json.dumps(found, indent=1) + "\n")
    text = (folder / "search.yaml").read_text().partition("\n")[2]
    (folder / "search.yaml").write_text(f"# nas search runs/{folder.name}/search.yaml\n{text}")
    (folder / "lock").unlink()
    (folder / "log" / "quarantine").rmdir()
    return result


if __name__ == "__main__":
    write_second_run(Path(sys.argv[1]))

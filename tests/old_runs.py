"""Copies of the checked-in run of the first version, whole and with something wrong."""

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from conftest import GOLDEN

from trials.log_files import DIGEST, _digest, sealed_rows
from trials.log_schema import ASK_SCHEMA, SCHEMA_VERSION

OLD_RUN = GOLDEN / "run_v1"  # 6 of 12 trials have ended, the seventh is in flight


def part(folder: Path, kind: str, trial_id: int) -> Path:
    """The file of one trial."""
    return folder / "log" / kind / f"t{trial_id:08d}.parquet"


def copy_old_run(folder: Path) -> Path:
    """The old run in that folder; with what opening it would create."""
    shutil.copytree(OLD_RUN, folder)
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

"""Names of what lies in a run beside its log."""

import re

SEARCH_FILE = "search.yaml"  # a copy for people: the log has recorded it
LOCK_FILE = "lock"
BEST_FILE = "best.yaml"
REPORT_FILE = "report.html"
DATA_FILE, IMAGES_FILE = "data.json", "images.parquet"  # the record of the images; of trainings, too
TABLE_FILE = "block_times.json"  # a copy of the search's step_time_table
WARM_START_FILE = "warm_start.parquet"  # a copy, so that the earlier run is not needed again
OWN_OPS_FILE = "own_ops.json"  # the digests of the user's own ops, and the packages that are trusted
FIXED_FILES = (DATA_FILE, IMAGES_FILE, TABLE_FILE, WARM_START_FILE, OWN_OPS_FILE)  # on which a search depends

ENVIRONMENT_FOLDER = "environment"  # files for each start of a driver
ENVIRONMENT_FILE = re.compile(rf"{ENVIRONMENT_FOLDER}/\d{{4}}(-workers)?\.json")
AUDIT_FOLDER = "audit"  # a run directory of its own, whose rows no strategy is told
RETARGET_FOLDER = "retarget"  # a Parquet file for each device model
CHECKPOINTS_FOLDER = "checkpoints"  # of trials, where the search file names no other


def view_of(kind: str) -> str:
    """The name of the view that holds all rows of a kind."""
    return f"{kind}.parquet"


TRIALS_FILE, EPOCHS_FILE = view_of("trials"), view_of("epochs")

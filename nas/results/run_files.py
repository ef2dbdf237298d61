"""Files of a run beside its log: which are there, and whether each is as it was written."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from search_spaces.settings.seal import BrokenSealError, check_seal, has_seal
from trials.log.bucket_files import MARKER
from trials.log.file_names import (
    AUDIT_FOLDER,
    BEST_FILE,
    CHECKPOINTS_FOLDER,
    ENVIRONMENT_FILE,
    EPOCHS_FILE,
    FIXED_FILES,
    LOCK_FILE,
    REPORT_FILE,
    RETARGET_FOLDER,
    SEARCH_FILE,
    TRIALS_FILE,
)
from trials.log.invariants import Fault

# Names below the run, and how each is verified elsewhere: by the log, by its record, by comparison with rows.
KNOWN_FILES = frozenset({SEARCH_FILE, *FIXED_FILES, LOCK_FILE, MARKER, TRIALS_FILE, EPOCHS_FILE})
KNOWN_FOLDERS = tuple(f"{name}/" for name in ("log", AUDIT_FOLDER, "train", CHECKPOINTS_FOLDER))
SEALED_FILES = frozenset({BEST_FILE, REPORT_FILE})
SEALED = re.compile(rf"{ENVIRONMENT_FILE.pattern}|{RETARGET_FOLDER}/[^/]*\.parquet")


@dataclass(frozen=True)
class RunFiles:
    """Files beside the log that are not as they were written, and what belongs to no run."""

    faults: tuple[Fault, ...]
    foreign: tuple[str, ...]


def run_files(run: Path, *, is_earlier: bool) -> RunFiles:
    """Checks the files of a run beside its log.

    Args:
        is_earlier: a version that sealed nothing wrote some of them.
    """
    faults, foreign = [], []
    for name in _names(run):
        if name in KNOWN_FILES or name.startswith(KNOWN_FOLDERS):
            continue
        if name not in SEALED_FILES and not SEALED.fullmatch(name):
            foreign.append(name)
        elif fault := _fault_of_seal(run / name, is_earlier=is_earlier):
            faults.append(Fault("files", f"{name}: {fault}", is_mendable=False))
    return RunFiles(tuple(faults), tuple(foreign))


def _fault_of_seal(path: Path, *, is_earlier: bool) -> str | None:
    try:
        data = path.read_bytes()
        if has_seal(data) or not is_earlier:
            check_seal(data)
    except BrokenSealError as error:
        return f"{error}; move it away, and make it again"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return None


def _names(run: Path) -> Iterator[str]:
    """All files below a run, but for those that a known folder holds; links are not followed."""
    for folder, folders, files in os.walk(run):
        folders.sort()
        yield from sorted(str((Path(folder) / name).relative_to(run)) for name in files)

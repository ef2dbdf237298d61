"""Files of a run beside its log: which are there, and whether each is as it was written."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from search_spaces.settings.seal import BrokenSealError, check_seal, has_seal
from trials.log.identity import FIXED_FILES, SEARCH_FILE
from trials.log.invariants import Fault

# Names below the run, and how each is verified elsewhere: by the log, by its record, by comparison with rows.
KNOWN = re.compile(r"log/.*|lock|\.bucket|trials\.parquet|epochs\.parquet|audit/.*|train/.*|checkpoints/.*")
SEALED = re.compile(r"best\.yaml|report\.html|environment/\d{4}(-workers)?\.json|retarget/[^/]*\.parquet")


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
        if name in (SEARCH_FILE, *FIXED_FILES) or KNOWN.fullmatch(name):
            continue
        if not SEALED.fullmatch(name):
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

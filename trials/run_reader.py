"""A run's log read by others than its driver: nothing is written, moved or locked."""

import fcntl
import os
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from search_spaces.yaml_io import ConfigError
from trials.store import PART_NAME, SCHEMAS, DamagedPartError, Kind, Row, RunStore, sealed_rows


@dataclass(frozen=True)
class RunLog:
    """What is recorded of a run at this moment."""

    asks: dict[int, Row]
    trials: dict[int, Row]
    unreadable: tuple[str, ...]  # parts that do not verify; the next driver moves them aside
    driver: str | None  # who works on the run; None if nobody does
    driver_started_at: datetime | None  # the last one's, UTC

    @property
    def in_flight(self) -> list[int]:
        """Trials that were asked for and have no row."""
        return sorted(self.asks.keys() - self.trials.keys())


def read_run(folder: Path) -> RunLog:
    """The log of a run, whether its driver works, has ended or was killed.

    Raises:
        ConfigError: the folder is no run.
    """
    if not RunStore.is_run(folder):
        found = "there is no such folder" if not folder.exists() else "not a run directory"
        raise ConfigError(f"{folder}: {found} (a run has search.yaml and log/ in it)")
    trials, damaged_trials = _rows(folder, "trials")  # before the asks: a row without its ask would be odd
    asks, damaged_asks = _rows(folder, "asks")
    starts = [path.stat().st_mtime for path in (folder / "environment").glob("*.json")]
    started = datetime.fromtimestamp(max(starts), UTC) if starts else None
    return RunLog(asks, trials, (*damaged_trials, *damaged_asks), _driver(folder), started)


def _rows(folder: Path, kind: Kind) -> tuple[dict[int, Row], list[str]]:
    rows, damaged = {}, []
    for path in sorted((folder / "log" / kind).iterdir()):
        if PART_NAME.fullmatch(path.name):
            try:
                for row in sealed_rows(path.read_bytes(), SCHEMAS[kind]):
                    rows[row["trial_id"]] = row
            except FileNotFoundError:
                continue  # the driver moved it aside meanwhile
            except (DamagedPartError, OSError):
                damaged.append(f"log/{kind}/{path.name}")
    return rows, damaged


def _driver(folder: Path) -> str | None:
    """The holder of the run's lock. Asking holds it for an instant, which a starting driver waits out."""
    try:
        handle = os.open(folder / "lock", os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return None
    except OSError:
        return os.read(handle, 200).decode(errors="replace").strip() or f"somebody on {socket.gethostname()}"
    finally:
        os.close(handle)

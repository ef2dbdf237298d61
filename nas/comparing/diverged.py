"""Trainings of a comparison that diverged, each recorded in its folder: the others go on without it."""

import json
from pathlib import Path

from search_spaces.settings.json_records import read_record
from trials.log.durable_files import PRIVATE
from trials.log.run_places import files_of

FILE = "diverged.json"  # in the training's folder


def record_divergence(folder: Path, reason: str) -> None:
    """Writes down that the training in this folder diverged. Without the folder it is tried again."""
    files = files_of(folder)
    files.make_folder(folder, PRIVATE)
    files.write(folder / FILE, (json.dumps({"reason": reason}) + "\n").encode())


def recorded_divergence(folder: Path) -> str | None:
    """The reason for which the training in this folder was given up; None if it was not.

    Raises:
        ConfigError: the record does not read.
    """
    return read_record(
        folder / FILE,
        lambda record: str(record["reason"]),
        if_damaged="remove its folder, and the same command tries the training again",
    )

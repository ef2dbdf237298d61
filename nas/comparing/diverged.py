"""Trainings of a comparison that diverged, each recorded in its folder: the others go on without it."""

import json
from pathlib import Path

from search_spaces.settings.json_text import json_value
from search_spaces.settings.yaml_files import ConfigError
from trials.log.buckets import files_of
from trials.log.durable_files import PRIVATE

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
    path = folder / FILE
    try:
        return str(json_value(path.read_bytes())["reason"])
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, KeyError):
        raise ConfigError(
            f"{path}: damaged: remove its folder, and the same command tries the training again"
        ) from None

"""Files that a command writes: one that exists is replaced only when that was asked for."""

from pathlib import Path

from search_spaces.settings.yaml_files import ConfigError


def refuse_existing(*files: Path | None, force: bool) -> None:
    """Refuses to replace a file unasked; None is standard output.

    Raises:
        ConfigError: one of the files exists and `force` is not given, or is a folder.
    """
    for path in files:
        if path is not None and path.is_dir():
            raise ConfigError(f"{path}: this is a folder; name a file in it with -o")
        if path is not None and path.exists() and not force:
            raise ConfigError(f"{path}: this file exists; choose another -o, or replace it with --force")

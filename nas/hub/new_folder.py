"""A folder that is there whole or not at all: written beside its place, and renamed."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nas.hub import names
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.unfinished_files import unfinished_name


@contextmanager
def unfinished_folder(target: Path, *, force: bool = False) -> Iterator[Path]:
    """A new folder beside `target`, which gets its name when the block ends, or is gone if that fails.

    Raises:
        ConfigError: as `refuse_taken`, also where it was taken meanwhile; or it cannot be written.
    """
    refuse_taken(target, force=force)
    folder, before = unfinished_name(target.absolute()), unfinished_name(target.absolute())
    made = [parent for parent in folder.parents if not parent.exists()]  # the innermost first
    try:
        folder.mkdir(parents=True)
        yield folder
        refuse_taken(target, force=force)
        if force and target.is_dir():
            target.rename(before)
        folder.rename(target)  # the system refuses a folder that holds something by now
    except OSError as error:
        raise ConfigError(f"{target}: cannot be written: {error.strerror or error}") from error
    finally:
        if before.is_dir() and not target.exists():  # the new one did not get its name
            before.rename(target)
        for left in (folder, before):
            shutil.rmtree(left, ignore_errors=True)
        for parent in made:  # those that hold nothing
            with suppress(OSError):
                parent.rmdir()


def refuse_taken(target: Path, *, force: bool = False) -> None:
    """Refuses a folder that holds something, and a place where none can be made.

    Args:
        force: a folder that `write_folder` has written, and nothing else, may be replaced.

    Raises:
        ConfigError: it does.
    """
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise ConfigError(f"{target}: this is a file; a new folder is expected; choose another -o")
    held = {path.name for path in target.iterdir()} if target.is_dir() else set()
    is_own = names.MANIFEST in held and _held_below(target) <= {*names.FILES, names.MANIFEST}
    if held and not (force and is_own):
        what = "a network that was handed on" if is_own else "something"
        raise ConfigError(f"{target}: this folder holds {what}; choose another -o")
    if target.is_dir() and (target.samefile(Path.cwd()) or os.path.ismount(target)):
        raise ConfigError(f"{target}: this folder cannot be replaced by a new one; choose another -o")
    above = next(parent for parent in target.absolute().parents if parent.exists())
    if not above.is_dir():
        raise ConfigError(f"{target}: {above.name} is a file; choose another -o")


def _held_below(folder: Path) -> set[str]:
    """All that lies below a folder but folders that are empty, by its path there."""
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_symlink() or not path.is_dir()
    }

"""The folder of a run: what makes one, and what is refused as none."""

from pathlib import Path

from search_spaces.settings.config_error import ConfigError
from trials.log.bucket_files import MARKER
from trials.log.file_names import ENVIRONMENT_FOLDER, LOCK_FILE, SEARCH_FILE
from trials.log.parts import PARTS, SEGMENTS
from trials.log.run_places import place_of

EARLIER = ("log/asks", "log/trials", "log/epochs")  # folders of versions before this one
QUARANTINE = "log/quarantine"
FOLDERS = ("log", PARTS, SEGMENTS, QUARANTINE, ENVIRONMENT_FOLDER)
STARTS = "[0-9][0-9][0-9][0-9].json"  # of environment/: one for each start of a driver
# What lies in a folder before it is a run; the last where it mirrors one in an object store.
LEFT_BY_A_KILLED_DRIVER = {"log", LOCK_FILE, ENVIRONMENT_FOLDER, MARKER}


def is_run(folder: Path) -> bool:
    """True if a folder is a run directory."""
    return has_log(folder) and (folder / SEARCH_FILE).is_file()


def has_log(folder: Path) -> bool:
    """True if a folder holds the log of a run."""
    return any((folder / name).is_dir() for name in (PARTS, EARLIER[0]))


def refuse_other_than_run(folder: Path) -> None:
    """Refuses a folder that is no run.

    Raises:
        ConfigError: it is none, or is not there.
    """
    if is_run(folder):
        return
    place = place_of(folder)
    if any((folder / PARTS).glob("p*")):
        raise ConfigError(
            f"{place}: its {SEARCH_FILE} is gone: nas verify {place} --repair puts it back from the log"
        )
    found = "not a run directory" if folder.exists() else "there is no such folder"
    raise ConfigError(f"{place}: {found} (a run has {SEARCH_FILE} and log/ in it)")


def check_folder(folder: Path) -> None:
    """Refuses a folder that can be no run directory; nothing is created.

    Raises:
        ConfigError: it, or something above it, is a file; it holds something else, or links.
    """
    try:
        if folder.exists() and not folder.is_dir():
            raise ConfigError(f"{folder}: this is a file; a run needs a folder of its own")
        above = next(parent for parent in folder.absolute().parents if parent.exists())
        if not above.is_dir():
            raise ConfigError(f"{folder}: {above.name} is a file; choose another --run")
        begun = not folder.is_dir() or (folder / "log").is_dir()
        if not begun and {path.name for path in folder.iterdir()} - LEFT_BY_A_KILLED_DRIVER:
            raise ConfigError(f"{place_of(folder)}: this folder holds something else; choose another --run")
        for name in (*FOLDERS, *EARLIER):
            if (folder / name).is_symlink():
                raise ConfigError(
                    f"{folder}/{name}: a symbolic link; the log lies in the run itself. Put the folder "
                    "here, or make the link to the whole run instead"
                )
    except OSError as error:
        raise ConfigError(f"{folder}: the run cannot be written here: {error.strerror}") from error


def no_trial_yet(folder: Path) -> ConfigError:
    """The refusal of a run of which no trial has ended."""
    place = place_of(folder)
    return ConfigError(
        f"{place}: this run has no finished trial yet; wait for the first (nas status {place})"
    )

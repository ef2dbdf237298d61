"""The record of repeats of a training: how many were begun in a folder, and by which words."""

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import Field
from pydantic.dataclasses import dataclass

from nas.training.config import FILE as TRAINING_FILE
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.shell_words import path_word
from search_spaces.settings.strict import STRICT
from search_spaces.settings.yaml_files import read_yaml, yaml_text
from trials.log.run_places import files_of, place_of

FILE = "repeats.yaml"  # in the folder of the repeats' folders
REPEATS = "repeat-*"  # folders of trainings that differ in their seed


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Repeats:
    """Trainings that differ in their seed, as they were begun."""

    repeats: int = Field(ge=2)
    words: tuple[str, ...]  # of `nas train`, without --run; paths as from the folder where they were typed

    def command(self, folder: Path) -> str:
        """The command that goes on with the repeats in this folder."""
        return f"nas train {shlex.join(self.words)} --run {path_word(place_of(folder))}"


def typed_words(architecture: str, **options: object) -> tuple[str, ...]:
    """The words of `nas train` that stand for these options; None, False and empty lists for none."""
    words = [architecture]
    for name, value in options.items():
        option = f"--{name.strip('_').replace('_', '-')}"
        for each in value if isinstance(value, list) else [value]:
            if each is not None and each is not False:
                words += [option] if each is True else [option, str(each)]
    return tuple(words)


def read_repeats(folder: Path) -> Repeats | None:
    """The record of a folder; None where there is none, as in those of earlier versions.

    Raises:
        ConfigError: it does not read.
    """
    file = folder / FILE
    return read_yaml(Repeats, file, recorded=True) if file.is_file() else None


def folders_of_repeats(folder: Path) -> list[Path]:
    """The folders of repeats that were begun, in their order."""
    found = [path.parent for path in folder.glob(f"{REPEATS}/{TRAINING_FILE}")]
    return sorted(found, key=lambda each: (len(each.name), each.name))


@contextmanager
def recorded_repeats(folder: Path, *, repeats: int, words: Sequence[str]) -> Iterator[None]:
    """The record lies in the folder from before the first training; not after one that was refused.

    Raises:
        ConfigError: the folder cannot be written to.
    """
    new_folders = [each for each in (folder, *folder.parents) if not each.exists()]
    text = yaml_text(Repeats(repeats=repeats, words=tuple(words))).encode()
    try:
        files_of(folder).make_folder(folder)
        if not (folder / FILE).is_file() or (folder / FILE).read_bytes() != text:
            files_of(folder).write(folder / FILE, text)
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be written here: {error.strerror}") from error
    try:
        yield
    except BaseException:
        if not folders_of_repeats(folder):
            files_of(folder).remove(folder / FILE)
            with suppress(OSError):  # one holds what was begun beside it
                for each in new_folders:
                    each.rmdir()
        raise

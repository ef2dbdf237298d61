"""Mistakes in settings that show after their file was read: with images, devices or other files at hand."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.origins import Origins, origin_of, said_of
from search_spaces.settings.overrides import Override, override_of
from search_spaces.settings.parsing import Location
from search_spaces.settings.places import place_of
from search_spaces.settings.yaml_files import read_origins


class SettingError(ConfigError):
    """A setting that is wrong, by its place in the configuration; `naming_origins` adds file and line.

    Args:
        depends_on: places of other settings without which it might be right.
    """

    def __init__(self, place: Location, sentence: str, depends_on: Sequence[Location] = ()) -> None:
        super().__init__(place, sentence, depends_on)
        self.place = place
        self.sentence = sentence
        self.depends_on = depends_on

    def __str__(self) -> str:
        """The place and the sentence."""
        return f"{place_of(self.place)}: {self.sentence}"


@contextmanager
def blaming(place: Location, *, without: str = "") -> Iterator[None]:
    """Turns an error within the block into a SettingError at this place.

    Args:
        without: the beginning of the error's message where it names the place itself.
    """
    try:
        yield
    except SettingError:
        raise
    except ValueError as error:
        raise SettingError(place, str(error).removeprefix(without)) from error


@contextmanager
def refused_as(where: object) -> Iterator[None]:
    """Turns an error within the block into a ConfigError that begins with an option, a file or a run."""
    try:
        yield
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from error


@contextmanager
def naming_origins(
    cls: type, source: str | Path, *, overrides: Sequence[str | Override] = ()
) -> Iterator[None]:
    """Says of each SettingError which file, or which override, of a configuration of `cls` holds the setting.

    Raises:
        ConfigError: the complaint, in the words of `read_yaml`.
    """
    try:
        yield
    except SettingError as error:
        try:
            origins = read_origins(cls, source, overrides=overrides)
        except ConfigError:  # the file has changed meanwhile
            raise error from None
        raise ConfigError(_said(error, origins, [override_of(words) for words in overrides])) from error


def _said(error: SettingError, origins: Origins, given: Sequence[Override]) -> str:
    owner = origin_of(origins, error.place)
    reasons: list[str] = []
    if not owner.is_option:
        naming = {outer.name for outer in owner.led_here}
        places = (error.place, *error.depends_on)
        found = [each for each in given if any(_overlap(each.location, place) for place in places)]
        reasons = [each.typed for each in found if not naming & {each.typed, *each.typed_items}]
    first, *others = error.sentence.split("\n")
    colon = ":" if others and first.endswith(":") else ""
    said = said_of(owner, error.place, first.removesuffix(colon), because_of=reasons)
    return "\n".join([f"{said}{colon}", *others])


def _overlap(one: Location, other: Location) -> bool:
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]

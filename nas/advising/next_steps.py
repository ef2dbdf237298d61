"""The next steps with any folder: a run, a training, a comparison, runs, images, or nothing yet."""

from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from nas.advising.advice import Advice, Step, advice
from nas.advising.comparison_steps import comparison_advice
from nas.advising.search_steps import search_advice
from nas.advising.training_steps import driver_within, is_training, training_advice
from nas.comparing.config import is_comparison
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.shell_words import path_word, set_words
from trials.log.run_folder import has_log
from trials.log.run_places import is_in_store, place_of

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
LOOKED_AT = 50  # entries of a folder, and of each of its folders


def next_steps(folder: Path) -> Advice:
    """The next steps with a folder; of one with several runs or trainings, with one of them.

    That is the last changed one of those that are worked on, else of all.

    Raises:
        ConfigError: its files do not read, or it is a file.
    """
    if folder.is_file():
        raise ConfigError(f"{folder}: this is a file; name a run, a training, a comparison or a folder")
    if (found := _known(folder)) is not None:
        return found
    inside = [path for path in _entries(folder) if _is_known(path)]
    if inside:
        found = _known(max(inside, key=_worked_on_and_changed))
        assert found is not None, "it was looked at"
        return found
    place = place_of(folder)
    if _holds_pictures(folder):
        return advice(place, "images", "images, a folder for each class", *_image_steps(place))
    state = "nothing here yet" if folder.is_dir() or is_in_store(place) else "there is no such folder"
    return advice(place, "nothing", state, *FIRST_STEPS)


FIRST_STEPS = (
    Step("nas doctor", "devices, versions, room and clocks: do searches run here, can timing be trusted?"),
    Step("nas search quick", "a first search, of minutes, on images that are built in"),
)


def _image_steps(place: str) -> tuple[Step, ...]:
    data, run = path_word(place), path_word(f"runs/{Path(place).resolve().name}")
    return (
        Step(f"nas doctor {data} --search photos", "can the images be read, do they suit the search?"),
        Step(
            f"nas search photos {set_words('data.source', place)} --budget 30m --run {run}",
            "a search with as many trials as fit half an hour",
        ),
    )


def _known(folder: Path) -> Advice | None:
    if has_log(folder):
        return search_advice(folder)
    if is_comparison(folder):
        return comparison_advice(folder)
    return training_advice(folder) if is_training(folder) else None


def _worked_on_and_changed(folder: Path) -> tuple[bool, float]:
    return driver_within(folder) is not None, folder.stat().st_mtime


def _is_known(folder: Path) -> bool:
    return has_log(folder) or is_comparison(folder) or is_training(folder)


def _holds_pictures(folder: Path) -> bool:
    return any(
        path.suffix.lower() in PICTURE_SUFFIXES
        for inside in islice(_entries(folder), LOOKED_AT)
        if inside.is_dir()
        for path in islice(_entries(inside), LOOKED_AT)
    )


def _entries(folder: Path) -> Iterable[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return ()

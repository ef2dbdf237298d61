"""The command that continues a run, as messages and screens print it."""

from pathlib import Path

from search_spaces.settings.shell_words import path_word
from trials.log.file_names import SEARCH_FILE
from trials.log.own_ops_record import trust_words
from trials.log.run_places import place_of


def continue_command(run: Path | str) -> str:
    """The command that continues this run, quoted for a shell."""
    place = place_of(run)
    file = path_word(f"{place}/{SEARCH_FILE}")
    return f"nas search {file} --run {path_word(place)}{trust_words(run)}"

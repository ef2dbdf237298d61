"""The report of a run while it is searched: what a page shows, and when it has changed."""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from analysis.frame import read_epochs
from nas.report.facts import read_facts
from nas.report.markup import Markup, tag
from nas.report.page import body, document
from nas.search.recorded_config import recorded_config
from search_spaces.settings.config_error import ConfigError
from trials.log.file_names import AUDIT_FOLDER, RETARGET_FOLDER
from trials.log.run_places import run_folder, url_of
from trials.log.run_reader import read_run
from trials.objective import CURVES, in_words

SCRIPT = Path(__file__).parent / "live.js"
LOG_FOLDERS = ("log", "log/parts", "log/segments")
FOLDERS = (".", *LOG_FOLDERS, *(f"{AUDIT_FOLDER}/{name}" for name in LOG_FOLDERS), RETARGET_FOLDER)
PAUSE = 9  # times as long as it took to write the sections, until they are written again
MOST_IN_FLIGHT = 8  # trials that are listed
MOST_EPOCHS = 10  # of each, the last ones
SECONDS_BETWEEN_LISTS = 10.0  # of an object store, where each look is a request


@dataclass(frozen=True)
class LiveState:
    """The state of a run in a few lines, and the version of the sections that belongs to it."""

    version: str
    text: str


class LiveReport:
    """A run's report, read again when files of the run have come or gone. Safe in several threads.

    Args:
        place: the run, a folder or a URL.
        state_text: its state in a few lines, from the run's folder.
        clock: seconds; the sections are written in a tenth of the time at most.
    """

    def __init__(
        self,
        place: str | Path,
        state_text: Callable[[Path], str],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock, self._due = clock, 0.0
        self._place = place
        self._state_text = state_text
        self._in_store = url_of(place) is not None
        self._folder = run_folder(place)
        self._listing, self._writing = threading.Lock(), threading.Lock()
        self._listed_at = clock()
        self._sections: tuple[str, Markup] | None = None

    @property
    def folder(self) -> Path:
        """The run's folder; of a run in an object store its mirror."""
        return self._folder

    @property
    def name(self) -> str:
        """The name of the run's folder."""
        return self._folder.resolve().name

    def document(self) -> str:
        """The page, whose script asks for `state` and `sections`."""
        lost = "No answer: nas watch has ended, or its machine cannot be reached."
        hidden = tag("p", lost, class_="gone", role="status", hidden="hidden")
        above = tag("div", tag("pre", "reading the run ..."), hidden, class_="live-state")
        waiting = tag("p", "Reading the run ...", class_="soft")
        return document(self.name, waiting, above=above, live_script=SCRIPT.read_text(encoding="utf-8"))

    def state(self) -> LiveState:
        """The state now. A run that cannot be read has the reason in its place."""
        version = self._version()
        # While trials run, time passes without any file: the text is computed again, the version is not.
        return LiveState(version, _or_reason(self._text))

    def sections(self) -> Markup:
        """All sections of the report as of now; a sentence where there is nothing to report yet."""
        with self._writing:
            version = self._version()
            if self._sections is None or self._sections[0] != version:
                begun = self._clock()
                self._sections = (version, _sections(self._folder))
                self._due = self._clock() + PAUSE * (self._clock() - begun)
            return self._sections[1]

    def _text(self) -> str:
        self._refresh()
        lines = [self._state_text(self._folder), *_lines_in_flight(self._folder)]
        return "\n".join(lines)

    def _refresh(self) -> None:
        """Brings the mirror of an object store up to date, not more often than is worth a request."""
        with self._listing:
            if self._in_store and self._clock() - self._listed_at >= SECONDS_BETWEEN_LISTS:
                self._listed_at = self._clock()
                run_folder(self._place)

    def _version(self) -> str:
        """A digest of when files came into the log or left it, which costs a few calls of the system.

        As long as the sections are not due again, it is theirs.
        """
        if self._sections is not None and self._clock() < self._due:
            return self._sections[0]
        return hashlib.sha256(repr(list(_changes(self._folder))).encode()).hexdigest()[:16]


def _lines_in_flight(folder: Path) -> Iterator[str]:
    """The trials that are being trained, each with its accuracies so far."""
    in_flight = read_run(folder).in_flight
    objective = recorded_config(folder).objective
    columns = ["trial_id", "attempt", "epoch", CURVES[objective]]
    try:
        epochs = read_epochs(folder, columns=columns)
    except (FileNotFoundError, ValueError):
        epochs = pd.DataFrame(columns=columns)
    for trial_id, ask in list(in_flight.items())[:MOST_IN_FLIGHT]:
        seen = epochs[epochs["trial_id"] == trial_id]
        if len(seen):
            last = seen[seen["attempt"] == seen["attempt"].max()].sort_values("epoch")[CURVES[objective]]
            curve = " ".join(f"{value:.3f}" for value in last.tail(MOST_EPOCHS))
            yield f"trial {trial_id}, {ask['purpose']}: epoch {len(last)}, {in_words(objective)} {curve}"
        else:
            yield f"trial {trial_id}, {ask['purpose']}: no epoch yet"
    if len(in_flight) > MOST_IN_FLIGHT:
        yield f"and {len(in_flight) - MOST_IN_FLIGHT} more"


def _changes(folder: Path) -> Iterator[tuple[str, int]]:
    for name in FOLDERS:
        try:
            yield name, (folder / name).stat().st_mtime_ns
        except OSError:
            continue


def _sections(folder: Path) -> Markup:
    try:
        return body(read_facts(folder))
    except ConfigError as error:
        return tag("p", str(error))


def _or_reason(text: Callable[[], str]) -> str:
    try:
        return text()
    except ConfigError as error:
        return str(error)

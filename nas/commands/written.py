"""Figures that commands print with --json of the files they wrote, and of what they described."""

from dataclasses import dataclass

from search_spaces.choices.figures import SpaceFigures
from search_spaces.interchange.exportable import Exportable


@dataclass(frozen=True, kw_only=True)
class DescribedSpace(SpaceFigures):
    """A space's figures, and for each project whether its networks can be exported to it."""

    exports: tuple[Exportable, ...]


@dataclass(frozen=True, kw_only=True)
class ExportedNetwork:
    """A network that was exported.

    Attributes:
        file: None where `text` goes to standard output instead.
        proof: what was checked of it, in words.
        changed: what had to be changed for the format, in words.
    """

    source: str
    format: str
    file: str | None
    text: str | None
    proof: str
    changed: str | None


@dataclass(frozen=True, kw_only=True)
class ExportedFront:
    """Files of a run's Pareto front."""

    source: str
    files: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ExportedStudy:
    """A run as a study in a database of Optuna's."""

    source: str
    storage: str
    study: str
    trials: int


@dataclass(frozen=True, kw_only=True)
class ImportedNetwork:
    """Another project's network; `text` is None where a file was written."""

    source: str
    project: str
    file: str | None
    text: str | None
    proof: str


@dataclass(frozen=True, kw_only=True)
class WrittenSpace:
    """A space around a network; `text` is None where a file was written, `search` begins a search in it."""

    source: str
    file: str | None
    text: str | None
    summary: str
    search: str


@dataclass(frozen=True, kw_only=True)
class PredictedFolder:
    """A table of predictions, and how many files of the folder are in it."""

    file: str
    pictures: int
    unreadable: int
    others: int  # files that are no pictures


@dataclass(frozen=True, kw_only=True)
class WrittenReport:
    """A run's report."""

    run: str
    report: str


@dataclass(frozen=True, kw_only=True)
class CardPreview:
    """The card that a push would upload.

    Attributes:
        needs_license: none was given, without which nothing is pushed.
    """

    repository: str
    card: str
    needs_license: bool

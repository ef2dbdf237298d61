"""The page of several runs side by side."""

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from nas.report.markup import Markup, join, tag
from nas.report.page import BEGINNING, document, write_page, written_at
from nas.report.side_by_side.compared import side_by_side_figures
from nas.report.side_by_side.figures import SideBySideFigures
from nas.report.side_by_side.sections import (
    again_section,
    cost_section,
    finalists_section,
    progress_section,
    runs_section,
    settings_section,
    sure_section,
    winners_section,
)
from nas.report.side_by_side.sides import Sides, read_sides
from search_spaces.settings.output_files import refuse_other_kind

LONGEST_NAME = 100  # of a file, without its digest and ending
DIGITS = 8  # of the digest
SECTIONS: Mapping[str, Callable[[Sides, SideBySideFigures], Markup]] = {
    "What each run found": runs_section,
    "What is sure": sure_section,
    "Best so far": progress_section,
    "Finalists": finalists_section,
    "What differs": settings_section,
    "The winners": winners_section,
    "What it cost": cost_section,
    "Each run alone": again_section,
}


def write_side_by_side(
    runs: Sequence[Path],
    *,
    names: Sequence[str],
    output: Path | None = None,
    terms: Mapping[str, float] | None = None,
    device: str | None = None,
) -> SideBySideFigures:
    """Writes the page of several runs, beside the first run's report where no file is named; its figures.

    Args:
        names: the runs as they were given.

    Raises:
        ConfigError: as `read_sides`; the file cannot be written.
    """
    if output is not None:
        refuse_other_kind(output, beginning=BEGINNING, kind="report (a page of HTML)")
    found = read_sides(runs, names=names, terms=terms, device=device)
    path = output or runs[0] / file_name(runs, terms, device)
    figures = side_by_side_figures(found, path)
    write_page(path, page(found, figures))
    return figures


def file_name(
    runs: Sequence[Path], terms: Mapping[str, float] | None = None, device: str | None = None
) -> str:
    """The name of the file in the first run: report-beside-second-third-0f3a9c12.html.

    The digest is of where the others lie, seen from the first, and of the trade-off, so that no comparison
    replaces another one, and each its own.
    """
    others = [
        re.sub(r"[^\w.-]+", "-", run.resolve().name, flags=re.ASCII).strip("-.") or "run" for run in runs[1:]
    ]
    places = [os.path.relpath(run.resolve(), runs[0].resolve()) for run in runs[1:]]
    own = json.dumps([places, sorted((terms or {}).items()), device])
    digest = hashlib.sha256(own.encode()).hexdigest()[:DIGITS]
    name = "-".join(["report-beside", *others])
    if len(name) > LONGEST_NAME:
        name = f"report-beside-{len(others)}-runs"
    return f"{name}-{digest}.html"


def page(found: Sides, figures: SideBySideFigures) -> str:
    """The whole page."""
    labels = [side.label for side in found.sides]
    head = tag(
        "header",
        tag("h1", "Runs side by side: ", ", ".join(labels)),
        tag("p", f"Training-aware architecture search; written {written_at()}.", class_="soft"),
    )
    sections = [
        tag("section", tag("h2", title), section(found, figures)) for title, section in SECTIONS.items()
    ]
    return document(f"{len(labels)} runs side by side", join([head, *sections]))

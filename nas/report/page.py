"""The report of a run: its sections, in the order in which questions come up, on one page of HTML."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from string import Template

from rich.console import Console

from nas.report.conditions import conditions_section, reproduce_section, searched_section
from nas.report.cost import cost_section
from nas.report.facts import RunFacts, read_facts
from nas.report.front import front_section, winner_section
from nas.report.learned import learned_section, trade_off_section
from nas.report.markup import Markup, join, tag
from nas.report.progress_picture import progress_section
from nas.report.sliders import script, sliders_section
from nas.report.trust import audit_section, trust_section
from search_spaces.settings.output_files import refuse_other_kind, writing
from search_spaces.settings.seal import OPEN_SEAL, sealed
from trials.log.file_names import REPORT_FILE
from trials.log.run_places import files_of

NOTHING = Markup("")
TEMPLATE = Path(__file__).parent / "page.html"
BEGINNING = b"<!DOCTYPE html>"
SECTIONS: Mapping[str, Callable[[RunFacts], Markup]] = {
    "The winner": winner_section,
    "What was searched": searched_section,
    "What there is to choose from": front_section,
    "A trade-off of your own": sliders_section,
    "Progress": progress_section,
    "What was learned": learned_section,
    "Other trade-offs": trade_off_section,
    "Finalists and noise": trust_section,
    "Do short trials tell? The audit": audit_section,
    "What it cost": cost_section,
    "Conditions": conditions_section,
    "How to do it again": reproduce_section,
}


def write_report(
    run: Path,
    *,
    output: Path | None = None,
    terms: Mapping[str, float] | None = None,
    device: str | None = None,
) -> Path:
    """Writes a run's report and returns where: report.html in the run; another trade-off's, beside it.

    Raises:
        ConfigError: as `read_facts`; the file cannot be written.
    """
    if output is not None:
        refuse_other_kind(output, beginning=BEGINNING, kind="report (a page of HTML)")
    facts = read_facts(run, terms=terms, device=device)
    path = output or run / (REPORT_FILE if facts.changed is None else other_name(terms, device))
    write_page(path, page(facts))
    return path


def write_page(path: Path, text: str) -> None:
    """Writes a whole page with a seal at its end.

    Raises:
        ConfigError: it cannot be written.
    """
    with writing(path):
        files_of(path.parent).write(path, sealed(f"{text}<!-- {OPEN_SEAL} -->\n".encode()))


def report_after_search(run: Path, console: Console) -> None:
    """Writes the report at the end of a search, which has succeeded whether or not there is a report."""
    try:
        write_report(run)
    except Exception as error:  # a fault of ours must not look like the search's
        console.print(f"no report was written ({error}); try:  nas report {run}", soft_wrap=True)


def other_name(terms: Mapping[str, float] | None, device: str | None) -> str:
    """The file of another trade-off's report: report-step_time_ratio-0.1-nvidia-h200.html."""
    words = [f"{name}{power:g}" for name, power in (terms or {}).items()]
    if device is not None:
        from nas.measuring.retarget import slug

        words.append(slug(device))
    return "-".join(["report", *words]) + ".html"


def page(facts: RunFacts) -> str:
    """The whole page."""
    return document(facts.name, body(facts))


def body(facts: RunFacts) -> Markup:
    """All sections of the page."""
    sections = [tag("section", tag("h2", title), section(facts)) for title, section in SECTIONS.items()]
    return join([_head(facts), *sections])


def document(name: str, content: Markup, *, above: Markup = NOTHING, live_script: str | None = None) -> str:
    """A page of its own around the sections of the run of this name.

    Args:
        above: stands over the sections, always in sight.
        live_script: keeps the page up to date; only with one may the page ask its server for anything.
    """
    template = Template(TEMPLATE.read_text(encoding="utf-8"))
    return template.substitute(
        title=escape(f"{name}: architecture search"),
        connect="'self'" if live_script else "'none'",
        above=above,
        body=content,
        script=f"{script()}{live_script or ''}",
    )


def _head(facts: RunFacts) -> Markup:
    ends = facts.trials["finished_at"].dropna()
    when = f"; last trial {ends.max():%Y-%m-%d %H:%M} UTC" if len(ends) else ""
    lines = [
        tag("h1", facts.name),
        tag("p", f"Training-aware architecture search{when}; written {written_at()}.", class_="soft"),
    ]
    if facts.changed:
        own = tag("strong", f"Under another trade-off than the search's own: {facts.changed}.")
        lines.append(tag("p", own))
    return tag("header", *lines)


def written_at() -> str:
    """The time at which a page is written, as it says."""
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"

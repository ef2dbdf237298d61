"""The screens of `nas audit`: a line for each architecture, and how the rankings agree."""

from rich.console import Group, RenderableType
from rich.text import Text

from nas.advising.advice import next_lines
from nas.advising.search_steps import report_step
from nas.results.audit import AuditFigures, TooFewAudited
from nas.screens.terminal import copyable
from nas.search.audit import AuditTrained
from trials.log.row_types import measured_objective
from trials.objective import in_words, name_of


def audit_line(event: AuditTrained) -> str:
    """A longer training beside its short trial."""
    head = f"trial {event.short['trial_id']:>5}  reward {event.short['reward']:.4f}"
    if event.row["status"] != "completed":
        return f"{head}  {event.row['status']}: {event.row['failure_kind']}"
    return (
        f"{head}  {in_words(name_of(event.row))} {measured_objective(event.short):.4f}, after "
        f"{event.row['epochs']} epochs {measured_objective(event.row):.4f}"
    )


def audit_screen(figures: AuditFigures | TooFewAudited) -> RenderableType:
    """The agreement of the two rankings, and what to type next; fits 80 columns."""
    if isinstance(figures, TooFewAudited):
        return Text("fewer than two architectures are trained both ways; there is nothing to compare")
    return Group(
        Text(f"{figures.architectures} architectures trained both ways", style="bold"),
        _line("Kendall's tau of the rankings", figures.tau, figures.tau_interval),
        _line(f"of the best {figures.top}, found by short trials", figures.recall, figures.recall_interval),
        _line("reward lost by the short ranking's first", figures.regret, figures.regret_interval),
        *map(copyable, next_lines([report_step(figures.run)])),
    )


def _line(words: str, value: float | None, interval: tuple[float, float] | None) -> Text:
    text = f"  {words:<42} " + ("-" if value is None else f"{value:.3f}")
    if interval is not None:
        text += f"   95 %: {interval[0]:.3f} to {interval[1]:.3f}"
    return Text(text)

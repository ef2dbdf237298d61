"""The screen of a run's state."""

from rich.console import Group, RenderableType
from rich.text import Text

from analysis.numbers import counted, duration, percent, short_count
from nas.advising.advice import next_lines
from nas.advising.search_steps import export_step, progress_steps
from nas.results.status import Best, RunStatus
from nas.screens.terminal import copyable
from nas.search.exhaustion import EXHAUSTED
from search_spaces.settings.sentences import one_line
from trials.objective import ACCURACY, in_words


def status_screen(found: RunStatus, *, watched: bool = False) -> RenderableType:
    """The state in a few lines, and what to type next; fits 80 columns.

    `watched`: the screen is of `--watch`, which it then does not recommend.
    """
    lines = [Text(f"{one_line(found.run)}   {_state(found)}", style="bold"), Text(_progress(found))]
    if found.best is not None:
        lines += map(Text, _best_lines(found.best))
    if found.state == "finished" and found.budget.spent < found.budget.total:
        lines.append(Text(EXHAUSTED))
    if found.baseline_median_reward is not None:
        median = found.baseline_median_reward
        apart = ", shorter: not comparable" if found.best is not None and found.best.is_longer else ""
        trials = counted(found.baseline_trials, "trial")
        lines.append(Text(f"random search's {trials}: reward median {median:.4f}{apart}"))
    if total := sum(found.device_seconds.values()):
        spent = found.device_seconds.items()
        shares = ", ".join(f"{kind} {percent(seconds / total)}" for kind, seconds in spent)
        lines.append(Text(f"{total:,.0f} device-seconds: {shares}"))
    if found.unreadable:
        damaged = ", ".join(found.unreadable[:3])
        lines.append(Text(f"damaged, moved aside when the search goes on: {damaged}"))
    return Group(*lines, *map(Text if watched else copyable, _next(found, watched=watched)))


def _state(found: RunStatus) -> str:
    return f"running ({found.driver})" if found.state == "running" else found.state


def _best_lines(best: Best) -> list[str]:
    first = (
        f"best reward {best.reward:.4f} (trial {best.trial_id})   {in_words(best.objective)} "
        f"{best.objective_value:.4f}   step {best.step_time_ratio:.2f}x"
    )
    size = f"{short_count(best.params)} params"
    # Two accuracies and the size do not fit the first line's 80 columns.
    figures = (
        [f"{first}   {size}"]
        if best.objective == ACCURACY
        else [first, f"     accuracy {best.accuracy:.4f}   {size}"]
    )
    return [
        *figures,
        *(f"     {line}" for line in best.words),
        *([f"     step time {best.uncertain_step_time}"] if best.uncertain_step_time else []),
    ]


def _progress(found: RunStatus) -> str:
    budget, repeats = found.budget, found.repeats
    text = f"{budget.spent:,.0f}/{budget.total:,.0f} {budget.unit}"
    if budget.spent > budget.total:  # it was lowered
        text = f"{budget.spent:,.0f} {budget.unit}, more than the budget of {budget.total:,.0f}"
    is_begun = repeats is not None and (repeats.ended > 0 or budget.spent >= budget.total)
    if repeats is not None and is_begun and repeats.ended < repeats.total:
        what = (
            f"trainings of finalists ({repeats.epochs} epochs)"
            if repeats.is_longer
            else "repeats of finalists"
        )
        text += f"   {repeats.ended}/{repeats.total} {what}"
    counts = [f"{count} {status}" for status, count in sorted(found.status.items())]
    text += f"   {', '.join(counts) or 'no trial has ended'}"
    if found.failure_kind:
        text += f" ({', '.join(sorted(found.failure_kind))})"
    if found.in_flight:
        text += f"   {found.in_flight} {'in flight' if found.state == 'running' else 'will run again'}"
    if found.seconds_left is not None:
        text += f"   about {duration(found.seconds_left)} left"
    return text


def _next(found: RunStatus, *, watched: bool) -> list[str]:
    steps = progress_steps(found, watched=watched)
    if found.best is not None:
        steps.append(export_step(found.run))
    return next_lines(steps)

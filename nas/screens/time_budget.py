"""The lines that say which search fits the time of --budget."""

from analysis.numbers import counted, duration
from nas.estimating.figures import BUSY
from nas.estimating.fitted_search import TimeBudget
from nas.estimating.time_budget import SAID


def time_budget_lines(budget: TimeBudget) -> str:
    """Trials and seconds of each, and the share of the images; or that a run keeps its own."""
    if budget.fitted is None or budget.images is None:
        trials = "its budget" if budget.trials is None else f"its {counted(budget.trials, 'trial')}"
        return (
            f"budget     {trials}, as recorded; for more of them --set budget.trials=N instead of "
            f"--budget {budget.typed}"
        )
    repeats = f" and {counted(budget.repeats, 'repeat')} of finalists" if budget.repeats else ""
    longer = ""
    if budget.repeats and budget.repeat_epochs is not None:
        repeats, longer = "", f"           and {counted(budget.repeats, 'training')} of finalists, "
        longer += f"{counted(budget.repeat_epochs, 'epoch')} each"
    lines = [
        f"budget     {budget.typed}: {counted(budget.fitted.trials, 'trial')}{repeats} of about "
        f"{duration(budget.fitted.trial_seconds)} each, on {counted(budget.devices, 'device')}"
    ]
    lines += [longer] if longer else []
    if (before := budget.fitted.seconds_before) >= SAID:
        lines.append(
            f"           less about {duration(before)} to decode the images and to time these trials"
        )
    if budget.fraction < budget.whole_fraction:
        lines.append(
            f"           so that so many fit, data.fraction={budget.fraction:g}: {budget.images.train:,} "
            f"images to train on, {budget.images.minival:,} for minival"
        )
    if budget.slowed_down > BUSY:
        lines.append(
            f"           others computed meanwhile: trials are taken to be {budget.slowed_down:.1f} times as "
            "long as alone"
        )
    return "\n".join(lines)

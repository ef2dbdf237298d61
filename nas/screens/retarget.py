"""The screen of `nas measure --run`: step times and rewards before and now."""

from shlex import quote

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from nas.measuring.retarget import Retargeted, slug
from nas.screens.terminal import copyable

SHOWN = 10


def retarget_screen(result: Retargeted) -> RenderableType:
    """The best trials by the new reward, and what to type next."""
    table = Table(box=None, padding=(0, 1), header_style="bold")
    for name in ("trial", "accuracy", "step before", "now", "reward before", "now", ""):
        table.add_column(name, justify="right", no_wrap=True)
    for trial in result.trials[:SHOWN]:
        table.add_row(
            str(trial.trial_id),
            f"{trial.accuracy:.4f}",
            f"{trial.step_time_ratio_before:.2f}x",
            "-" if trial.step_time_ratio is None else f"{trial.step_time_ratio:.2f}x",
            f"{trial.reward_before:.4f}",
            "-" if trial.reward is None else f"{trial.reward:.4f}",
            trial.timing_flag or "",
        )
    more = len(result.trials) - SHOWN
    lines: list[RenderableType] = [Text(f"step times on {result.device_name}", style="bold"), table]
    if more > 0:
        lines.append(Text(f"and {more} more in {result.file}"))
    device = slug(result.device_name)
    lines.append(copyable(f"next:  nas export {quote(str(result.run))} --device {device} -o winner.yaml"))
    return Group(*lines)

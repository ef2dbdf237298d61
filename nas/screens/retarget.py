"""What `nas measure --run` shows: step times and rewards before and now."""

from typing import Any

from rich.console import Console, Group, RenderableType
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from nas.measuring.retarget import Retargeted, retarget, slug

SHOWN = 10


def retarget_on_console(run: Any, *, top: int, console: Console) -> Retargeted:
    """Measures with a bar of progress."""
    with Progress(console=console, transient=True) as bars:
        bar = bars.add_task("measuring step times", total=None)
        return retarget(
            run, top=top, on_progress=lambda done, total: bars.update(bar, completed=done, total=total)
        )


def retarget_figures(result: Retargeted) -> dict[str, Any]:
    """As one mapping, for --json."""
    rows = [{key: value for key, value in row.items() if key != "row"} for row in result.rows]
    return {"run": str(result.run), "device": result.device_name, "file": str(result.file), "trials": rows}


def retarget_screen(result: Retargeted) -> RenderableType:
    """The best trials by the new reward, and what to type next."""
    table = Table(box=None, padding=(0, 1), header_style="bold")
    for name in ("trial", "accuracy", "step before", "now", "reward before", "now", ""):
        table.add_column(name, justify="right", no_wrap=True)
    for row in result.rows[:SHOWN]:
        table.add_row(
            str(row["trial_id"]),
            f"{row['accuracy']:.4f}",
            f"{row['step_time_ratio_before']:.2f}x",
            "-" if row["reward"] is None else f"{row['step_time_ratio']:.2f}x",
            f"{row['reward_before']:.4f}",
            "-" if row["reward"] is None else f"{row['reward']:.4f}",
            row["timing_flag"] or "",
        )
    more = len(result.rows) - SHOWN
    lines: list[RenderableType] = [Text(f"step times on {result.device_name}", style="bold"), table]
    if more > 0:
        lines.append(Text(f"and {more} more in {result.file}"))
    lines.append(Text(f"next:  nas export {result.run} --device {slug(result.device_name)} -o winner.yaml"))
    return Group(*lines)

"""How a search is going, on the screen, and again every two seconds."""

import json
import time
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from analysis.numbers import duration, short_count
from nas.results.status import run_status

SECONDS_BETWEEN_LOOKS = 2.0


def status_screen(figures: Mapping[str, Any]) -> RenderableType:
    """The state in a few lines, and what to type next; fits 80 columns."""
    lines = [Text(f"{figures['run']}   {_state(figures)}", style="bold"), Text(_progress(figures))]
    if best := figures["best"]:
        text = (
            f"best reward {best['reward']:.4f} (trial {best['trial_id']})   accuracy {best['accuracy']:.4f}"
        )
        text += f"   step {best['step_time_ratio']:.2f}x   {short_count(best['params'])} params"
        lines.append(Text(text))
    if figures["state"] == "finished" and figures["budget"]["spent"] < figures["budget"]["total"]:
        lines.append(Text("the space is exhausted: every architecture has been trained"))
    if figures["baseline_trials"]:
        median = figures["baseline_median_reward"]
        lines.append(Text(f"random search's {figures['baseline_trials']} trials: reward median {median:.4f}"))
    if total := sum(figures["device_seconds"].values()):
        shares = ", ".join(
            f"{kind} {seconds / total:.0%}" for kind, seconds in figures["device_seconds"].items()
        )
        lines.append(Text(f"{total:,.0f} device-seconds: {shares}"))
    if figures["unreadable"]:
        damaged = ", ".join(figures["unreadable"][:3])
        lines.append(Text(f"damaged, moved aside when the search goes on: {damaged}"))
    return Group(*lines, *(Text(line) for line in _next(figures)))


def _state(figures: Mapping[str, Any]) -> str:
    if figures["state"] == "running":
        return f"running ({figures['driver']})"
    return str(figures["state"])


def _progress(figures: Mapping[str, Any]) -> str:
    budget, again = figures["budget"], figures["repeats"]
    text = f"{budget['spent']:,.0f}/{budget['total']:,.0f} {budget['unit']}"
    if budget["spent"] > budget["total"]:  # it was lowered
        text = f"{budget['spent']:,.0f} {budget['unit']}, more than the budget of {budget['total']:,.0f}"
    if again and again["ended"] < again["total"] and (again["ended"] or budget["spent"] >= budget["total"]):
        text += f"   {again['ended']}/{again['total']} repeats of finalists"
    counts = [f"{count} {status}" for status, count in sorted(figures["status"].items())]
    text += f"   {', '.join(counts) or 'no trial has ended'}"
    if figures["failure_kind"]:
        text += f" ({', '.join(sorted(figures['failure_kind']))})"
    if figures["in_flight"]:
        text += f"   {figures['in_flight']} in flight"
    if figures["seconds_left"] is not None:
        text += f"   about {duration(figures['seconds_left'])} left"
    return text


def _next(figures: Mapping[str, Any]) -> list[str]:
    run = figures["run"]
    lines = [f"nas status {run} --watch"] if figures["state"] == "running" else []
    if figures["state"] == "stopped":
        lines.append(f"nas search {run}/search.yaml --run {run}     (continues)")
    if figures["best"]:
        lines.append(f"nas export {run} -o winner.yaml")
    return [("next:  " if i == 0 else "       ") + line for i, line in enumerate(lines)]


def watch(run: Path, console: Console, *, as_json: bool = False) -> None:
    """Shows the state again and again, until nobody works on the run any more or Ctrl-C; as JSON a line each.

    Raises:
        ConfigError: as `run_status`.
    """
    figures = run_status(run)
    live = Live(status_screen(figures), console=console, auto_refresh=False)
    with suppress(KeyboardInterrupt), nullcontext() if as_json else live:
        while True:
            if as_json:
                print(json.dumps(figures, default=str), flush=True)
            else:
                live.update(status_screen(figures), refresh=True)
            if figures["state"] != "running":
                return
            time.sleep(SECONDS_BETWEEN_LOOKS)
            figures = run_status(run)

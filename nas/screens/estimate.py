"""What a search will cost, on the screen."""

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from analysis.numbers import duration

BUSY = 1.3  # times as long as alone: caches are shared, and a step's own time grows, too
LABELS = {
    "build_seconds": "build",
    "timing_seconds": "step time",
    "train_seconds": "train",
    "evaluate_seconds": "evaluate",
    "seconds": "together",
}


def estimate_screen(figures: Mapping[str, Any]) -> RenderableType:
    """The conditions, a trial's cost by parts, the search's, and how long it takes on so many devices."""
    how = (
        f"{figures['networks']} networks drawn uniformly, step times by {figures['step_times']}"
        if figures["step_times"] != "timed here"
        else f"{figures['networks']} networks drawn uniformly, timed here in "
        f"{figures['estimated_in_seconds']:.0f} s"
    )
    assumed = " (assumed)" if figures["images_assumed"] else ""
    lines: list[RenderableType] = [
        Text(
            f"{figures['device_name']}, {figures['precision']}, {figures['resolution']} px, batch "
            f"{figures['batch_size']}",
            style="bold",
        ),
        Text(
            f"{figures['train_images']:,} images to train on, {figures['minival_images']:,} for minival, "
            f"{figures['num_classes']:,} classes{assumed}"
        ),
        Text(how),
        Text(""),
        _trial_table(figures),
        Text(""),
        *map(Text, _totals(figures)),
        Text(""),
        _device_table(figures),
        *(Text(note, style="dim") for note in _notes(figures)),
    ]
    return Group(*lines)


def _trial_table(figures: Mapping[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("a trial", no_wrap=True)
    for header in ("reference", "mean", "smallest", "largest"):
        table.add_column(header, justify="right", no_wrap=True)
    for name, label in LABELS.items():
        row = figures["trial"][name]
        table.add_row(label, *(shown(row[key]) for key in ("reference", "mean", "smallest", "largest")))
    return table


def _totals(figures: Mapping[str, Any]) -> list[str]:
    trials = figures["trials"]
    exact = f"{trials:,.0f}" if figures["device_hours_half_width"] else f"about {trials:,.0f}"
    lines = [
        f"{exact} trials of {figures['epochs_per_trial']} epochs: "
        f"{figures['search_device_hours']:,.3g} device-hours"
    ]
    if figures["repeats"]:
        lines.append(
            f"{figures['repeats']} repeats of finalists: {figures['repeats_device_hours']:,.3g} device-hours"
        )
    half = figures["device_hours_half_width"]
    more = f" ± {half:,.2g} (95 %)" if half else ""
    lines.append(f"together {figures['device_hours']:,.4g}{more} device-hours")
    return lines


def _device_table(figures: Mapping[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for header in ("devices", "time", "±"):
        table.add_column(header, justify="right", no_wrap=True)
    for row in figures["devices"]:
        here = " (here)" if row["here"] else ""
        half = shown(3600 * row["half_width"]) if row["half_width"] else "-"
        table.add_row(f"{row['devices']:,}{here}", shown(3600 * row["hours"]), half)
    return table


def _notes(figures: Mapping[str, Any]) -> list[str]:
    notes = []
    if figures["strategy"] != "random_search":
        notes.append(f"{figures['strategy']} does not draw uniformly; faster networks cost less.")
    if figures["bound_stopping"]:
        notes.append("Trials that bound_stopping ends early are counted whole.")
    if figures["rungs"]:
        notes.append("Every trial is counted whole; successive_halving ends most of them after fewer epochs.")
    if figures["timed_batch_size"] != figures["batch_size"]:
        notes.append(
            f"Steps of {figures['timed_batch_size']} of the {figures['batch_size']} images were timed and "
            "multiplied."
        )
    if figures["slowed_down"] > BUSY:
        notes.append(
            f"Others computed meanwhile (timing took {figures['slowed_down']:.1f} times its own time): these "
            "figures may be far too large; ask again when it is quiet."
        )
    notes.append("Not in it: decoding the images once on each host, starting workers. Nothing was written.")
    return notes


def shown(seconds: float) -> str:
    """Short times to two figures, longer ones as a person says them, days from two on."""
    if seconds < 10:
        return f"{seconds:.2g} s"
    days = seconds / 86_400
    return duration(seconds) if days < 2 else f"{days:,.3g} days"

"""The screen of nas search --estimate: cost of a trial, of the search, time by devices."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from analysis.numbers import counted, precise_duration
from nas.estimating.figures import BUSY, SearchEstimate


def estimate_screen(estimate: SearchEstimate) -> RenderableType:
    """The conditions, a trial's cost by parts, the search's, and how long it takes on so many devices."""
    how = (
        f"{estimate.networks} networks drawn uniformly, step times by {estimate.step_times}"
        if estimate.step_times != "timed here"
        else f"{estimate.networks} networks drawn uniformly, timed here in "
        f"{estimate.estimated_in_seconds:.0f} s"
    )
    assumed = " (assumed)" if estimate.images_assumed else ""
    lines: list[RenderableType] = [
        Text(
            f"{estimate.device_name}, {estimate.precision}, {estimate.resolution} px, batch "
            f"{estimate.batch_size}",
            style="bold",
        ),
        Text(
            f"{estimate.train_images:,} images to train on, {estimate.minival_images:,} for minival, "
            f"{estimate.num_classes:,} classes{assumed}"
        ),
        Text(how),
        Text(""),
        _trial_table(estimate),
        Text(""),
        *map(Text, _totals(estimate)),
        Text(""),
        _device_table(estimate),
        *(Text(note, style="dim") for note in _notes(estimate)),
    ]
    return Group(*lines)


def _trial_table(estimate: SearchEstimate) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("a trial", no_wrap=True)
    for header in ("reference", "mean", "smallest", "largest"):
        table.add_column(header, justify="right", no_wrap=True)
    trial = estimate.trial
    parts = {
        "build": trial.build_seconds,
        "step time": trial.timing_seconds,
        "train": trial.train_seconds,
        "evaluate": trial.evaluate_seconds,
        "together": trial.seconds,
    }
    for label, part in parts.items():
        seconds = (part.reference, part.mean, part.smallest, part.largest)
        table.add_row(label, *map(precise_duration, seconds))
    return table


def _totals(estimate: SearchEstimate) -> list[str]:
    trials = estimate.trials
    exact = f"{trials:,.0f}" if estimate.device_hours_half_width else f"about {trials:,.0f}"
    lines = [
        f"{exact} trials of {estimate.epochs_per_trial} epochs: "
        f"{estimate.search_device_hours:,.3g} device-hours"
    ]
    if estimate.repeats:
        what = f"{counted(estimate.repeats, 'repeat')} of finalists"
        if estimate.repeat_epochs > estimate.epochs_per_trial:
            what = (
                f"{counted(estimate.repeats, 'training')} of finalists, "
                f"{counted(estimate.repeat_epochs, 'epoch')} each"
            )
        lines.append(f"{what}: {estimate.repeats_device_hours:,.3g} device-hours")
    half = estimate.device_hours_half_width
    more = f" ± {half:,.2g} (95 %)" if half else ""
    lines.append(f"together {estimate.device_hours:,.4g}{more} device-hours")
    return lines


def _device_table(estimate: SearchEstimate) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for header in ("devices", "time", "±"):
        table.add_column(header, justify="right", no_wrap=True)
    for on in estimate.devices:
        here = " (here)" if on.here else ""
        half = precise_duration(3600 * on.half_width) if on.half_width else "-"
        table.add_row(f"{on.devices:,}{here}", precise_duration(3600 * on.hours), half)
    return table


def _notes(estimate: SearchEstimate) -> list[str]:
    notes = []
    if estimate.strategy != "random_search":
        notes.append(f"{estimate.strategy} does not draw uniformly; faster networks cost less.")
    if estimate.bound_stopping:
        notes.append("Trials that bound_stopping ends early are counted whole.")
    if estimate.rungs:
        notes.append(f"Every trial is counted whole; {estimate.strategy} ends most after fewer epochs.")
    if estimate.timed_batch_size != estimate.batch_size:
        notes.append(
            f"Steps of {estimate.timed_batch_size} of the {estimate.batch_size} images were timed and "
            "multiplied."
        )
    if estimate.slowed_down > BUSY:
        notes.append(
            f"Others computed meanwhile (timing took {estimate.slowed_down:.1f} times its own time): these "
            "figures may be far too large; ask again when it is quiet."
        )
    notes.append("Not in it: decoding the images once on each host, starting workers. Nothing was written.")
    return notes

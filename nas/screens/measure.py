"""Measured networks on the screen: a column for each, the quantities below each other."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from analysis.numbers import percent, short_count, three_figures
from nas.measuring.figures import MeasuredInference, MeasuredNetwork, MeasuredNetworks, MeasuredTime
from nas.screens.measured_parts import parts_screen
from search_spaces.settings.sentences import one_line, some
from trials.timing.precision import AS_ASKED

NETWORKS_BESIDE = 3  # and their quantities fit 80 columns; more go below
MAX_NAME = 18  # characters
UNKNOWN = "-"
PARTLY = "+"  # behind a count that does not hold everything
UNCERTAIN = "?"
UNCERTAIN_NOTE = f"{UNCERTAIN} uncertain: it scatters too much; measure again on a quieter machine."

Rows = list[tuple[str, list[str]]]


def measure_screen(figures: MeasuredNetworks) -> RenderableType:
    """The networks side by side, up to three and then below each other."""
    conditions, networks = figures.conditions, figures.networks
    threads = "one thread, " if conditions.threads else ""
    lines: list[RenderableType] = [
        Text(
            f"{conditions.device_name}, {threads}{conditions.precision}, {conditions.resolution} px, "
            f"{conditions.num_classes:,} classes",
            style="bold",
        )
    ]
    for i in range(0, len(networks), NETWORKS_BESIDE):
        lines.append(_table(networks[i : i + NETWORKS_BESIDE], conditions.batch_size))
    if conditions.precision_reason != AS_ASKED:
        lines.append(Text(f"In {conditions.precision}: {conditions.precision_reason}.", style="dim"))
    lines += [Text(note, style="dim") for note in _notes(networks, on_cpu=bool(conditions.threads))]
    lines += parts_screen(networks)
    return Group(*lines)


def _table(networks: Sequence[MeasuredNetwork], batch_size: int) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("", no_wrap=True)
    for network in networks:
        table.add_column(shortened(network.name), justify="right", no_wrap=True)
    for label, cells in _rows(networks, batch_size):
        table.add_row(label, *cells)
    return table


def _rows(networks: Sequence[MeasuredNetwork], batch_size: int) -> Rows:
    rows = [
        ("parameters", [f"{network.params:,}" for network in networks]),
        ("MACs", [_counted(network.macs, network) for network in networks]),
        ("activations", [_counted(network.activations, network) for network in networks]),
        (
            "own-kernel norms",
            [f"{network.norms_by_own_kernels} of {network.norms}" for network in networks],
        ),
        *_time_rows(f"step, batch {batch_size}", [network.step for network in networks]),
        ("  of roofline", [_roofline(network) for network in networks]),
        ("  peak memory", [_memory(network) for network in networks]),
    ]
    for each in zip(*(network.inference for network in networks), strict=True):
        rows += _time_rows(f"forward, batch {each[0].batch_size}", [inference.time for inference in each])
        rows.append(("  images/s", [_throughput(inference) for inference in each]))
    return rows


def _time_rows(label: str, times: Sequence[MeasuredTime]) -> Rows:
    return [
        (label, [_median(time) for time in times]),
        ("  p10-p90", [_percentiles(time) for time in times]),
        ("  ratio", [_ratio(time) for time in times]),
    ]


def _median(time: MeasuredTime) -> str:
    if time.seconds is None:
        return time.failure or ""
    scale, unit = _scale(time.seconds)
    return f"{three_figures(time.seconds * scale)} {unit}{f' {UNCERTAIN}' if time.flag else ''}"


def _percentiles(time: MeasuredTime) -> str:
    if time.seconds is None or time.seconds_p10 is None or time.seconds_p90 is None:
        return ""
    scale, unit = _scale(time.seconds)
    return f"{three_figures(time.seconds_p10 * scale)}-{three_figures(time.seconds_p90 * scale)} {unit}"


def _ratio(time: MeasuredTime) -> str:
    """The ratio, its spread and the number of rounds, where there are any."""
    if time.failure:
        return ""
    parts = [f"{time.ratio:.3g}x"] if time.ratio is not None else []
    parts += [percent(time.ratio_spread, digits=1)] if time.ratio_spread is not None else []
    return ", ".join([*parts, f"n {time.rounds}"])


def _counted(count: int | None, network: MeasuredNetwork) -> str:
    """A count; marked where it does not hold all of the network's operations."""
    if count is None:
        return UNKNOWN
    return f"{count:,}{f' {PARTLY}' if network.uncounted else ''}"


def _roofline(network: MeasuredNetwork) -> str:
    return UNKNOWN if network.roofline is None else percent(network.roofline.share)


def _throughput(inference: MeasuredInference) -> str:
    per_second = inference.images_per_second
    return "" if per_second is None else f"{per_second:,.0f}"


def _memory(network: MeasuredNetwork) -> str:
    size = network.peak_memory_bytes
    return UNKNOWN if size is None else f"{short_count(size)}B"


def _scale(seconds: float) -> tuple[float, str]:
    return (1.0, "s") if seconds >= 1 else (1e3, "ms")


def _notes(networks: Sequence[MeasuredNetwork], *, on_cpu: bool) -> list[str]:
    first = shortened(networks[0].name)
    notes = [f"Medians of n rounds{' of CPU time' if on_cpu else ''}; ratios to {first}, timed in turn."]
    if len(networks) > 1:
        notes.append("Behind a ratio: its spread, (p90 - p10) / median.")
    times = [time for network in networks for time in network.times]
    if any(time.flag for time in times):
        notes.append(UNCERTAIN_NOTE)
    if any(time.failure for time in times):
        notes.append("Out of memory: try a smaller --batch-size or --resolution.")
    if any(network.roofline for network in networks):
        notes.append("Of roofline: the least time of a step's arithmetic or traffic here, over its time.")
    return notes + [note for network in networks for note in _notes_of(network)]


def _notes_of(network: MeasuredNetwork) -> list[str]:
    """Peculiarities of one network: what was not counted, and how it computes where others do otherwise."""
    name, notes = shortened(network.name), []
    if network.uncounted:
        notes.append(f"{name}: not in its MACs: {some(network.uncounted)}.")
    if network.frozen_params:
        notes.append(f"{name}: {network.frozen_params:,} more parameters are frozen.")
    if network.architecture_id is None and network.peak_memory_bytes is None and network.step.seconds:
        notes.append(f"{name}: no memory, for a process of its own cannot make it.")
    if network.layout_reason:
        notes.append(f"{name}: computes in contiguous memory, others in channels_last.")
    return notes


def shortened(name: str) -> str:
    """At most MAX_NAME characters: the beginning and the end, which tell similar names apart."""
    name = one_line(name)
    if len(name) <= MAX_NAME:
        return name
    head = (MAX_NAME - 1) // 2
    return f"{name[:head]}…{name[head + 1 - MAX_NAME :]}"

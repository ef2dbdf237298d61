"""Measured networks on the screen: a column for each, the quantities below each other."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from analysis.numbers import short_count

NETWORKS_BESIDE = 3  # and their quantities fit 80 columns; more go below
MAX_NAME = 18  # characters
DOUBT = "?"

Figures = Mapping[str, Any]
Rows = list[tuple[str, list[str]]]


def measure_screen(figures: Figures) -> RenderableType:
    """The networks side by side, up to three and then below each other."""
    networks: list[Figures] = figures["networks"]
    threads = "one thread, " if figures["threads"] else ""
    lines: list[RenderableType] = [
        Text(
            f"{figures['device_name']}, {threads}{figures['precision']}, {figures['resolution']} px, "
            f"{figures['num_classes']:,} classes",
            style="bold",
        )
    ]
    for i in range(0, len(networks), NETWORKS_BESIDE):
        lines.append(_table(networks[i : i + NETWORKS_BESIDE], figures["batch_size"]))
    lines += [Text(note, style="dim") for note in _notes(networks, on_cpu=bool(figures["threads"]))]
    return Group(*lines)


def _table(networks: Sequence[Figures], batch_size: int) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("", no_wrap=True)
    for network in networks:
        table.add_column(shortened(network["name"]), justify="right", no_wrap=True)
    for label, cells in _rows(networks, batch_size):
        table.add_row(label, *cells)
    return table


def _rows(networks: Sequence[Figures], batch_size: int) -> Rows:
    rows = [(label, [f"{n[name]:,}" for n in networks]) for label, name in (
        ("parameters", "params"), ("MACs", "macs"), ("activations", "activations"),
    )]  # fmt: skip
    rows += _time_rows(f"step, batch {batch_size}", networks, "step")
    rows.append(("  peak memory", [_memory(n) for n in networks]))
    for i, first in enumerate(networks[0]["inference"]):
        measured = [n["inference"][i] for n in networks]
        rows += _time_rows(f"forward, batch {first['inference_batch_size']}", measured, "inference")
        rows.append(("  images/s", [_throughput(m) for m in measured]))
    return rows


def _time_rows(label: str, measured: Sequence[Figures], kind: str) -> Rows:
    return [
        (label, [_median(m, f"{kind}_seconds") for m in measured]),
        ("  p10-p90", [_percentiles(m, f"{kind}_seconds") for m in measured]),
        ("  ratio", [_ratio(m, f"{kind}_time_ratio") for m in measured]),
    ]


def _median(figures: Figures, name: str) -> str:
    if figures["failure"]:
        return str(figures["failure"])
    scale, unit = _scale(figures[name])
    doubt = f" {DOUBT}" if figures["timing_flag"] else ""
    return f"{_three_figures(figures[name] * scale)} {unit}{doubt}"


def _percentiles(figures: Figures, name: str) -> str:
    if figures["failure"]:
        return ""
    scale, unit = _scale(figures[name])
    low, high = (_three_figures(figures[f"{name}_{percentile}"] * scale) for percentile in ("p10", "p90"))
    return f"{low}-{high} {unit}"


def _ratio(figures: Figures, name: str) -> str:
    """The ratio, its spread and the number of rounds, as far as there are any."""
    if figures["failure"]:
        return ""
    ratio, spread = figures[name], figures[f"{name}_spread"]
    parts = [f"{ratio:.3g}x"] if ratio is not None else []
    parts += [f"{spread:.1%}"] if spread is not None else []
    return ", ".join([*parts, f"n {figures['rounds']}"])


def _throughput(figures: Figures) -> str:
    per_second = figures["images_per_second"]
    return "" if per_second is None else f"{per_second:,.0f}"


def _memory(network: Figures) -> str:
    size = network["peak_memory_bytes"]
    return "-" if size is None else f"{short_count(size)}B"


def _three_figures(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _scale(seconds: float) -> tuple[float, str]:
    return (1.0, "s") if seconds >= 1 else (1e3, "ms")


def _notes(networks: Sequence[Figures], *, on_cpu: bool) -> list[str]:
    first = shortened(networks[0]["name"])
    notes = [f"Medians of n rounds{' of CPU time' if on_cpu else ''}; ratios to {first}, timed in turn."]
    if len(networks) > 1:
        notes.append("Behind a ratio: its spread, (p90 - p10) / median.")
    measured = [figures for n in networks for figures in (n, *n["inference"])]
    if any(figures["timing_flag"] for figures in measured):
        notes.append(f"{DOUBT} scatters too much to be trusted; measure again on a quieter machine.")
    if any(figures["failure"] for figures in measured):
        notes.append("Out of memory: try a smaller --batch-size or --resolution.")
    return notes


def shortened(name: str) -> str:
    """At most MAX_NAME characters: the beginning and the end, which tell similar names apart."""
    if len(name) <= MAX_NAME:
        return name
    head = (MAX_NAME - 1) // 2
    return f"{name[:head]}…{name[head + 1 - MAX_NAME :]}"

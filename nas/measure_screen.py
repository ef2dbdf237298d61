"""Measured networks on the screen: a column for each, the quantities below each other."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from nas.live import short_count

MAX_NAME = 22  # characters: two columns and the quantities fit 80


def measure_screen(figures: Mapping[str, Any]) -> RenderableType:
    """The networks side by side; times with their 10th and 90th percentile, ratios to the first network."""
    networks: list[Mapping[str, Any]] = figures["networks"]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("")
    for network in networks:
        table.add_column(_shortened(network["name"]), justify="right", no_wrap=True)
    for label, cells in _rows(networks, figures["batch_size"]):
        table.add_row(label, *cells)
    rounds = sorted({n["rounds"] for n in networks} | {i["rounds"] for n in networks for i in n["inference"]})
    conditions = (
        f"{figures['device_name']}, {figures['precision']}, {figures['resolution']} px, "
        f"{figures['num_classes']:,} classes"
    )
    counts = "-".join(map(str, dict.fromkeys((rounds[0], rounds[-1]))))
    note = f"medians (10th-90th percentile) of {counts} rounds in turn with {_shortened(networks[0]['name'])}"
    lines: list[RenderableType] = [Text(conditions, style="bold"), table, Text(note, style="dim")]
    if flags := [f"{n['name']} ({n['timing_flag']})" for n in networks if n["timing_flag"]]:
        lines.append(Text(f"step times to doubt: {', '.join(flags)}; measure again on a quieter machine"))
    return Group(*lines)


def _rows(networks: Sequence[Mapping[str, Any]], batch_size: int) -> list[tuple[str, list[str]]]:
    rows = [
        ("parameters", [f"{n['params']:,}" for n in networks]),
        ("MACs", [f"{n['macs']:,}" for n in networks]),
        ("activations", [f"{n['activations']:,}" for n in networks]),
        (f"training step, batch {batch_size}", [_seconds(n, "step_seconds") for n in networks]),
        ("", [_ratio(n, "step_time_ratio") for n in networks]),
        ("memory of a step", [_bytes(n["peak_memory_bytes"]) for n in networks]),
    ]
    for i, first in enumerate(networks[0]["inference"]):
        batch = first["inference_batch_size"]
        measured = [n["inference"][i] for n in networks]
        rows.append((f"inference, batch {batch}", [_seconds(m, "inference_seconds") for m in measured]))
        rows.append(("", [_throughput(m) for m in measured]))
        rows.append(("", [_ratio(m, "inference_time_ratio") for m in measured]))
    return rows


def _seconds(figures: Mapping[str, Any], name: str) -> str:
    median = figures[name]
    if isinstance(median, str):
        return median
    unit, scale = ("s", 1.0) if median >= 1 else ("ms", 1e3)
    low, high = figures[f"{name}_p10"] * scale, figures[f"{name}_p90"] * scale
    return f"{median * scale:.3g} {unit} ({low:.3g}-{high:.3g})"


def _ratio(figures: Mapping[str, Any], name: str) -> str:
    return "" if isinstance(figures[name], str) else f"{figures[name]:.3f}x"


def _throughput(figures: Mapping[str, Any]) -> str:
    seconds = figures["inference_seconds"]
    if isinstance(seconds, str):
        return ""
    return f"{figures['inference_batch_size'] / seconds:,.0f} images/s"


def _bytes(size: int | str | None) -> str:
    if size is None:
        return "-"
    return size if isinstance(size, str) else f"{short_count(size)}B"


def _shortened(name: str) -> str:
    return name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 1]}…"

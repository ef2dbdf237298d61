"""Figures of a measurement: rows with n and spread, and the file of a step's results."""

import json
import os
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

State = Literal["running", "done", "failed", "stopped", "not here"]
FINAL: tuple[State, ...] = ("done", "not here")  # what is in them is not measured again


@dataclass(frozen=True)
class Several:
    """A quantity that was measured several times."""

    median: float
    low: float
    high: float
    n: int


Figure = Several | float | int | str | None


@dataclass(frozen=True)
class Row:
    """One line of a step's table; columns carry their units. `headline`: what a README says of it."""

    label: str
    figures: Mapping[str, Figure]
    headline: str | None = None


@dataclass
class Result:
    """The results of a step so far, with the facts of the machine that they hold for."""

    name: str
    title: str
    facts: Mapping[str, Any]
    rehearsed: bool
    state: State = "running"
    said: str = ""  # why there is no more
    seconds: float = 0.0
    rows: list[Row] = field(default_factory=list)

    @property
    def holds_for(self) -> tuple[Any, ...]:
        """The conditions under which a result is taken over: code, torch, device and kind of run."""
        return (*(self.facts.get(key) for key in ("commit", "torch", "device")), self.rehearsed)


def several(values: Sequence[float]) -> Several:
    """Median, smallest and largest value, and their number."""
    return Several(statistics.median(values), min(values), max(values), len(values))


def variation(values: Sequence[float]) -> float:
    """Standard deviation over mean, in %."""
    return 100 * statistics.stdev(values) / statistics.mean(values)


def result_file(out: Path, name: str) -> Path:
    """The file of a step's results."""
    return out / f"{name}.json"


def write_result(result: Result, out: Path) -> None:
    """Writes a result in place of an earlier one, never in part."""
    file = result_file(out, result.name)
    unfinished = file.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(asdict(result), indent=1))
    os.replace(unfinished, file)


def read_result(out: Path, name: str) -> Result | None:
    """The result that was written of a step; None where there is none that can be read."""
    try:
        found = json.loads(result_file(out, name).read_text())
        rows = [Row(row["label"], _figures(row["figures"]), row["headline"]) for row in found.pop("rows")]
        return Result(**found, rows=rows)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _figures(found: Mapping[str, Any]) -> dict[str, Figure]:
    return {name: Several(**value) if isinstance(value, dict) else value for name, value in found.items()}


def shown(figure: Figure) -> str:
    """A figure as a page shows it: three digits, with its range and n where it has them."""
    if figure is None:
        return "-"
    if isinstance(figure, Several):
        return (
            f"{shown(figure.median)} ({shown(figure.low)} to {shown(figure.high)}, n = {figure.n})"
            if figure.n > 1
            else f"{shown(figure.median)} (n = 1)"
        )
    if isinstance(figure, str):
        return figure.replace("|", "\\|")
    if isinstance(figure, int) or abs(figure) >= 1000:
        return f"{figure:,.0f}"
    return f"{figure:.3g}"

"""What the commands of this folder share: the paper's numbers, tables on the screen, CSV, what compares."""

import argparse
import csv
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

BENCHMARKS = Path(__file__).parents[1]
sys.path.insert(0, str(BENCHMARKS))  # the other benchmarks, for what they have already

GOLDEN = BENCHMARKS.parent / "golden" / "paper_tables.yaml"
PAPER: dict[str, Any] = yaml.safe_load(GOLDEN.read_text(encoding="utf-8"))
TOY, TOY_RESNET = (Path(__file__).parent / name for name in ("toy.yaml", "toy_resnet.yaml"))
MISSING = "-"
# Keys of a row that the paper does not print as cells.
NO_CELLS = ("network", "against", "pretrained")

Row = Mapping[str, Any]


def parser_of(description: str | None) -> argparse.ArgumentParser:
    """With the flags that all commands have."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="toy sizes: shows that it runs, says nothing")
    parser.add_argument("--csv", type=Path, help="all rows, as a table for a notebook")
    parser.add_argument("--png", type=Path, help="a picture, where there is one")
    return parser


def paper_rows(table: str) -> dict[Any, Any]:
    """A table of the paper, by the name of its rows."""
    rows: dict[Any, Any] = PAPER[table]["rows"]
    return rows


def print_table(title: str, columns: Mapping[str, str], rows: Iterable[Row]) -> None:
    """`columns`: key of a row and header. Text to the left, numbers to the right."""
    lines = [[_cell(row.get(key)) for key in columns] for row in rows]
    widths = [max(map(len, column)) for column in zip(columns.values(), *lines, strict=True)]
    print(f"\n{title}")
    for cells in (list(columns.values()), *lines):
        first = cells[0].ljust(widths[0])
        print("  ".join([first, *(c.rjust(w) for c, w in zip(cells[1:], widths[1:], strict=True))]).rstrip())
    sys.stdout.flush()


def _cell(value: Any) -> str:
    if value is None:
        return MISSING
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def cells_of(table: str) -> set[str]:
    """Names of a table's cells, `row: column`, of nested columns `row: column.key`."""
    return {f"{name}: {cell}" for name, row in paper_rows(table).items() for cell in _cells_of_row(row)}


def marked_cells(table: str, mark: str) -> set[str]:
    """Names of the cells that `checked` or `seen` marks."""
    marks = PAPER[table].get(mark, {})
    if marks == "all":
        return cells_of(table)
    return {f"{name}: {cell}" for name, cells in marks.items() for cell in cells}


def _cells_of_row(row: Mapping[Any, Any]) -> list[str]:
    found = []
    for key, value in row.items():
        if key not in NO_CELLS:
            found += [f"{key}.{inner}" for inner in value] if isinstance(value, dict) else [str(key)]
    return found


def print_comparable(table: str, *, comparable: str, not_comparable: str, quick: bool = False) -> None:
    """Said plainly, after every table."""
    cells, checked, seen = (
        len(cells_of(table)),
        len(marked_cells(table, "checked")),
        marked_cells(table, "seen"),
    )
    source = "all confirmed by the fact sheet" if checked == cells else (
        f"{checked} of {cells} confirmed by the fact sheet, "
        + (f"{len(seen)} repeated by a summary of the paper, " if seen else "")
        + "the rest from memory of it (tests/golden/paper_tables.yaml says which)"
    )  # fmt: skip
    print(f"\ncomparable:      {comparable}\nnot comparable:  {not_comparable}\npaper's numbers: {source}")
    if quick:
        print("--quick:         toy sizes; these figures show only that the command runs")
    sys.stdout.flush()


def write_csv(path: Path | None, rows: Sequence[Row]) -> None:
    """All keys of all rows, where a file was asked for."""
    if path is None:
        return
    names = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, restval="")
        writer.writeheader()
        writer.writerows(rows)
    print(f"{path}: {len(rows)} rows")


def save_figure(path: Path | None, draw: Any, *, size: tuple[float, float] = (8, 5)) -> None:
    """A PNG of what `draw` makes of an axes, where a file was asked for."""
    if path is None:
        return
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=120, layout="constrained")
    axes = figure.add_subplot()
    draw(axes)
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)
    figure.savefig(path, format="png")
    print(f"{path}: picture")

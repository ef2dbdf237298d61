"""Wrong input to nas simulate, for the catalogue of messages."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from error_cases import Case, _empty_folder


def _table(folder: Path, **changes: Any) -> None:
    """Nine trained architectures of two decisions."""
    columns: dict[str, Any] = {
        "layer0": [i // 3 for i in range(9)],
        "layer1": [i % 3 for i in range(9)],
        "accuracy": [0.5 + i / 100 for i in range(9)],
        "params": [1000 + i for i in range(9)],
        "seconds": [60.0 + i for i in range(9)],
    }
    columns = {name: values for name, values in (columns | changes).items() if values is not None}
    pq.write_table(pa.table(columns), folder / "table.parquet")


def simulated(name: str, *options: str, **changes: Any) -> Case:
    """`nas simulate` on that table with columns replaced, or left out where None."""
    return Case(
        name, ("simulate", "table.parquet", *options), prepare=lambda folder: _table(folder, **changes)
    )


SIMULATED = (
    Case("a table that is not there", ("simulate", "table.parquet")),
    Case("a text file for a table", ("simulate", "run"), {"run": "text"}),
    Case("a folder that is no run, to simulate", ("simulate", "run"), prepare=_empty_folder),
    simulated("a table without durations", seconds=None),
    simulated("a table without accuracies", accuracy=None),
    simulated("a table without parameters", params=None),
    simulated("a table without choices", layer0=None, layer1=None),
    simulated("a table in which anything could be choices", op0=[0] * 9, op1=[0] * 9),
    simulated("an architecture twice", layer0=[0] * 9),
    simulated("an accuracy that is missing", accuracy=[None, *[0.5] * 8]),
    simulated("an accuracy of 300", accuracy=[300.0] * 9),
    simulated("a duration of zero", seconds=[0.0] * 9),
    simulated("a column misspelt", "--column", "accuracy=acuracy"),
    simulated("a role of columns misspelt", "--column", "acuracy=accuracy"),
    simulated("more trials than rows", "--trials", "10"),
    simulated("a strategy to simulate, misspelt", "--strategies", "evolutoin"),
    simulated("shorter trials on a table of whole ones", "--strategies", "successive_halving"),
    simulated("a simulated strategy's setting, misspelt", "--set", "evolution.popluation=3"),
    simulated(
        "settings of a simulated strategy that exclude each other",
        "--set",
        "evolution.population=5",
        "--set",
        "evolution.tournament=7",
    ),
    simulated("a simulated strategy's setting of another type", "--set", "evolution.population=many"),
    simulated("a simulated strategy's setting that is not YAML", "--set", "evolution.population=[1"),
    simulated("a mapping for a simulated strategy's number", "--set", "predictor.temperature={a: 1}"),
    simulated("a setting of a strategy, misspelt", "--set", "evolutoin.population=3"),
    simulated("a setting of no strategy", "--set", "population=3"),
    simulated("a reward that is no number", "--reward", "params=low"),
    simulated("a reward of what a table lacks", "--reward", "macs=-0.1"),
    simulated("a reference that is no row", "--reference", "0,7"),
    simulated("a picture below a file", "--output", "table.parquet/a.png"),
    simulated("a picture over a table", "--output", "table.parquet"),
)

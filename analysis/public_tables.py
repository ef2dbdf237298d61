"""Tables that come with the project: every network of a small space, trained and timed."""

from pathlib import Path

import pandas as pd

TABLES = Path(__file__).parent / "tables"


def public_tables() -> list[str]:
    """Names of the tables."""
    return sorted(path.stem for path in TABLES.glob("*.parquet"))


def public_table_path(name: str) -> Path | None:
    """The file of a table; None if there is no table of that name."""
    return TABLES / f"{name}.parquet" if name in public_tables() else None


def read_public_table(name: str = "small_cifar10") -> pd.DataFrame:
    """One row for each network: choices, accuracy, params, MACs, step time; tables/README.md has all.

    Raises:
        FileNotFoundError: there is no table of that name.
    """
    path = public_table_path(name)
    if path is None:
        raise FileNotFoundError(f"{name}: no table of that name; there are {', '.join(public_tables())}")
    return pd.read_parquet(path)

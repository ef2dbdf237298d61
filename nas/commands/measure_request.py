"""What nas measure was asked for: networks side by side, or the blocks of a space."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import RenderableType

from nas.measuring.measure import measure_on_console
from nas.measuring.measure_table import measure_table_on_console
from nas.screens.measure import measure_screen
from nas.screens.measure_table import table_screen
from search_spaces.settings.yaml_files import ConfigError

Figures = dict[str, Any]


def measure_request(
    sources: Sequence[str], *, table: str | None, out: Path | None
) -> tuple[Callable[..., Figures], Callable[[Figures], RenderableType]]:
    """What measures, given the conditions and a console; and what shows its figures.

    Raises:
        ConfigError: both or neither are asked for, or a table's file without a table.
    """
    if table is None and out is not None:
        raise ConfigError("--out names the file of a table; it goes with --table SPACE")
    if table is None and not sources:
        raise ConfigError("nothing to measure: name architectures, or a space by --table SPACE")
    if table is None:
        return partial(measure_on_console, sources), measure_screen
    if sources:
        raise ConfigError(
            f"--table {table} measures a space's blocks, and {sources[0]} is an architecture; measure them "
            "one after the other"
        )
    return partial(measure_table_on_console, table, out=out), table_screen

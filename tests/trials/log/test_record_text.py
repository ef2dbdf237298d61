"""A part's row as one text: it reads back as it was, is refused where it could not, and says its version."""

import io
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import MakeConfig
from formula_searches import run_until
from log_files import parts_in

from nas.results.verify import verify_run
from search_spaces.settings.config_error import ConfigError
from trials.log.parts import AS_TEXT, Part, part_bytes, part_name, read_part
from trials.log.record_text import COLUMN, record_bytes, record_table
from trials.log.run_reader import read_run
from trials.log.tables import DamagedPartError, NewerLogError, parquet_bytes, read_sealed

SCHEMA = pa.schema(
    [
        ("number", pa.int16()),
        ("share", pa.float64()),
        ("text", pa.string()),
        ("at", pa.timestamp("us", tz="UTC")),
        ("curve", pa.list_(pa.float64())),
        ("schema_version", pa.int16()),
    ]
)
COLUMNS = pa.struct(list(SCHEMA))
NOON = datetime(2026, 1, 2, 12, 0, 0, 3, UTC)


def read_back(row: dict[str, Any]) -> dict[str, Any]:
    table = record_table(read_sealed(record_bytes(row, COLUMNS, {"kind": "any"}))[0], SCHEMA)
    (found,) = table.to_pylist()
    return found


def of_text(text: str) -> pa.Table:
    return pa.table({COLUMN: [text]})


def test_a_row_reads_back_as_it_was_and_its_missing_columns_are_null() -> None:
    row = {
        "number": 7,
        "share": 0.1 + 0.2,
        "text": 'a "word"\n\u2028 ü',
        "at": NOON,
        "curve": [1 / 3, math.inf],
    }
    assert read_back(row) == {**row, "schema_version": None}
    assert math.isnan(read_back({"share": math.nan})["share"])
    assert read_back({"number": np.int64(3), "share": np.float32(0.5)})["number"] == 3


@pytest.mark.parametrize(
    "row",
    [{"number": "seven"}, {"number": 2**20}, {"share": "x"}, {"curve": 1.0}, {"text": object()}],
    ids=["text for a number", "a number too large", "text for a share", "no list", "no text"],
)
def test_a_value_that_is_none_of_its_column_is_refused_before_it_is_written(row: dict[str, Any]) -> None:
    with pytest.raises((pa.ArrowException, TypeError, OverflowError)):
        record_bytes(row, COLUMNS, {})


def test_a_file_in_which_the_text_does_not_stand_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "trials.log.record_text.parquet_bytes",
        lambda table, facts, *, is_short: parquet_bytes(
            table, facts, is_short=False
        ),  # compressed; too long for statistics
    )
    with pytest.raises(DamagedPartError):
        record_bytes({"text": "again " * 2000}, COLUMNS, {})


def test_rows_of_a_later_version_are_refused() -> None:
    with pytest.raises(NewerLogError, match="rows of version 2"):
        record_table(of_text('{"schema_version": 2, "number": "another type"}'), SCHEMA)


@pytest.mark.parametrize("text", ["", "[1", "7", '{"number": "x"}', '{"at": "noon"}', '{"a": ' * 200 + "1"])
def test_a_text_that_is_no_such_row_is_damage(text: str) -> None:
    with pytest.raises(DamagedPartError):
        record_table(of_text(text), SCHEMA)


def test_other_columns_in_the_place_of_the_text_are_damage() -> None:
    for table in (pa.table({"other": ["{}"]}), pa.table({COLUMN: ["{}", "{}"]}), pa.table({COLUMN: [7]})):
        with pytest.raises(DamagedPartError):
            record_table(table, SCHEMA)


# ---------------------------------------------------------------------- parts


def test_a_part_is_parquet_of_one_text(make_config: MakeConfig, tmp_path: Path) -> None:
    run_until(make_config(), tmp_path / "run", rows=2)
    for path, part in parts_in(tmp_path / "run"):
        data = path.read_bytes()
        assert pq.read_table(io.BytesIO(data)).column_names == [COLUMN]
        assert pq.read_metadata(path).metadata[b"kind"].decode() == part.kind + AS_TEXT
        assert part_bytes(part) == data


def test_a_kind_of_record_that_is_not_known_is_refused_by_all_who_read(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    config, folder = make_config(), tmp_path / "run"
    run_until(config, folder, rows=2)
    path, part = parts_in(folder)[-1]
    facts = {"kind": f"{part.kind}/3", "position": str(part.position), "driver": "1", "identity": ""}
    path.write_bytes(parquet_bytes(of_text("{}"), facts, is_short=True))
    for read in (
        lambda: run_until(config, folder, rows=3),
        lambda: verify_run(folder),
        lambda: read_run(folder),
    ):
        with pytest.raises(ConfigError, match=r"p\d+\.parquet: .*later version.*a record of kind \w+/3"):
            read()


def test_parts_with_a_column_for_each_value_still_read(make_config: MakeConfig, tmp_path: Path) -> None:
    run_until(make_config(), tmp_path / "run", rows=1)
    _, driver = parts_in(tmp_path / "run")[0]
    row = {**driver.start, "started_at": NOON}
    facts = {"kind": "driver", "position": "5", "driver": "2", "identity": "i"}
    schema = pa.schema(
        [
            ("number", pa.int32()),
            ("process", pa.int64()),
            ("host", pa.string()),
            ("started_at", pa.timestamp("us", "UTC")),
        ]
    )
    data = parquet_bytes(pa.Table.from_pylist([row], schema=schema), facts, is_short=False)
    found = read_part(Path(part_name(5)), data)
    assert found == Part(5, "driver", 2, "i", driver.start | {"started_at": NOON})

"""Files of data, tables and weights with wrong bytes: refused in our own words, whatever a library raises."""

import json
import struct
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from pictures import open_from, write_parquet

from analysis.frame import read_trials
from nas.simulation.outcome_table import read_table
from search_spaces.settings.config_error import ConfigError
from trials.images.config import DataConfig
from trials.images.data_record import check_same_data, record_faults, record_of
from trials.images.packed import open_images
from trials.log.file_names import IMAGES_FILE
from trials.log.tables import DamagedPartError, read_parquet
from trials.training.weights_file import load_tensors, save_tensors

DEEP = "[" * 100_000
SOME = 60  # files with other wrong bytes


def spoilt(content: bytes, seed: int, *, among: slice) -> bytes:
    """The content with up to three wrong bytes, all of them in one part of it."""
    rng = np.random.default_rng(seed)
    changed = bytearray(content)
    places = range(len(content))[among]
    for _ in range(rng.integers(1, 4)):
        changed[places[rng.integers(len(places))]] = rng.choice(
            [*b"([{'\"\\,:)\n", 0, 255, rng.integers(256)]
        )
    return bytes(changed)


FOOTER = slice(-700, None)  # of Parquet: what columns there are, and where
HEADER = slice(100)  # of an array, and of JSON


def refused(read: Callable[[], object], *kinds: type[Exception]) -> bool:
    """True if it was refused as one of these kinds; another error fails the test."""
    try:
        read()
    except kinds:
        return True
    return False


def test_wrong_bytes_of_parquet_are_refused_by_every_reader(tmp_path: Path) -> None:
    rows = list(product(range(3), repeat=2))
    table = {
        "layer0": [row[0] for row in rows],
        "layer1": [row[1] for row in rows],
        "accuracy": [0.1 * i for i in range(9)],
        "seconds": [1.0 + i for i in range(9)],
    }
    pq.write_table(pa.table(table), tmp_path / "table.parquet", write_page_checksum=True)
    write_parquet(tmp_path / "images.parquet")
    (tmp_path / "run").mkdir()
    of_run = tmp_path / "run" / "trials.parquet"
    path = tmp_path / "changed.parquet"
    readers: dict[str, tuple[str, Path, Callable[[], object], type[Exception]]] = {
        "table": ("table", path, lambda: read_table(path, named={}), ConfigError),
        "part": ("table", path, lambda: read_parquet(path.read_bytes()), DamagedPartError),
        "run": ("table", of_run, lambda: read_trials(tmp_path / "run"), ValueError),
        "images": ("images", path, lambda: open_from(path), ValueError),
    }
    for name, (whole, place, read, kind) in readers.items():
        content = (tmp_path / f"{whole}.parquet").read_bytes()
        place.write_bytes(content)
        read()
        times = 0
        for seed in range(SOME):
            place.write_bytes(spoilt(content, seed, among=FOOTER))
            times += refused(read, kind)
        assert times > SOME / 2, name


def test_wrong_bytes_of_a_record_of_images_are_said(tmp_path: Path) -> None:
    source = write_parquet(tmp_path / "a.parquet")
    record = record_of(str(source), open_from(source))
    for name, content in record.files().items():
        (tmp_path / name).write_bytes(content)
    whole = (tmp_path / IMAGES_FILE).read_bytes()
    other = record_of("b", open_from(write_parquet(tmp_path / "b.parquet", count=40)))
    for seed in range(SOME):
        (tmp_path / IMAGES_FILE).write_bytes(spoilt(whole, seed, among=FOOTER))
        list(record_faults(tmp_path))
        with pytest.raises(ConfigError, match="the images are not those that this search began with"):
            check_same_data(other, tmp_path, begun="search")


@pytest.mark.parametrize("name", ["images.npy", "digests.npy", "checksums.npy", "meta.json"])
def test_a_pack_with_wrong_bytes_in_a_header_is_made_again(name: str, tmp_path: Path) -> None:
    """NumPy reads headers with Python's own tokenizer and parser, and passes their errors on."""
    config = DataConfig(source=str(write_parquet(tmp_path / "a.parquet")), minival=0.2)
    cache = tmp_path / "cache"
    before = np.array(open_images(config, resolution=12, cache=cache).images)
    (folder,) = [path for path in cache.iterdir() if path.is_dir()]
    whole = (folder / name).read_bytes()
    contents = [spoilt(whole, seed, among=HEADER) for seed in range(8)]
    contents += [DEEP.encode(), whole[:10] + b"(" * 100 + whole[110:], whole[:10] + b"'" + whole[11:]]
    for content in contents:
        (folder / name).write_bytes(content)
        found = open_images(config, resolution=12, cache=cache, verify=True)
        assert np.array_equal(found.images, before)


def with_header(header: bytes | dict[str, object], body: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


EMPTY: dict[str, object] = {"dtype": "F32", "shape": [0, 2**62, 2**62], "data_offsets": [0, 0]}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 8,
        with_header(b"[]"),
        with_header(b'{"__metadata__":' + DEEP.encode()),
        with_header({"a": EMPTY}),
        with_header({"a": {"dtype": "F4", "shape": [2], "data_offsets": [0, 1]}}, b"a"),
    ],
    ids=["empty", "ones", "a list", "deep", "shape beyond all sizes", "type of half a byte"],
)
def test_weights_with_a_hostile_header_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"w\.safetensors: these are not weights that nas train wrote"):
        load_tensors(path)


def test_weights_whose_facts_are_nested_too_deeply_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_tensors(path, {"a": torch.zeros(2)}, {"x": json.loads("[" * 200 + "]" * 200)})
    with pytest.raises(ConfigError, match="nested more than 64 deep"):
        load_tensors(path)

"""Images that are not there, or are not what they should be, for the catalogue of messages."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from error_cases import Case, set_to
from pictures import encoded, saved, write_folder, write_parquet
from PIL import Image
from small_files import SEARCH

PIXELS = [encoded(i) for i in range(30)]


def parquet(name: str, **changes: Any) -> Case:
    """A search on a Parquet file that is written with these changes."""
    return Case(
        name,
        ("search", "mine.yaml"),
        {"mine.yaml": SEARCH.replace("{source: digits}", "{source: a.parquet}")},
        lambda folder: write_parquet(folder / "a.parquet", **changes) and None,
    )


def images(name: str, prepare: Callable[[Path], Any]) -> Case:
    """A search on the folder `data`, in which cats, cows and dogs lie before `prepare`."""
    return Case(
        name,
        ("search", "mine.yaml"),
        {"mine.yaml": SEARCH.replace("{source: digits}", "{source: data}")},
        lambda folder: prepare(write_folder(folder / "data")) and None,
    )


def source(name: str, text: str) -> Case:
    """A search on that source, where nothing is."""
    return set_to(name, f"data.source={text}")


def _one_class(data: Path) -> None:
    for name in ("cow", "dog"):
        for path in (data / name).iterdir():
            path.unlink()


def _no_class_folders(data: Path) -> None:
    for path in list((data / "cat").iterdir()):
        path.rename(data / path.name)


def _deeper(data: Path) -> None:
    (data / "images").mkdir()
    for name in ("cat", "cow", "dog"):
        (data / name).rename(data / "images" / name)


def _only_test(data: Path) -> None:
    (data / "test").mkdir()
    for name in ("cat", "cow", "dog"):
        (data / name).rename(data / "test" / name)


def _no_pictures(data: Path) -> None:
    for path in list(data.rglob("*.*")):
        path.rename(path.with_suffix(".txt"))


def _many_junk(data: Path) -> None:
    for i in range(10):
        (data / "cat" / f"{i + 50}.png").write_bytes(b"junk")


def _other_kind(data: Path) -> None:
    for path in (data / "cow").iterdir():
        path.rename(path.with_suffix(".heic"))


def _one_junk_class(data: Path) -> None:
    write_folder(data, per_class=100)
    (data / "eel").mkdir()
    (data / "eel" / "0.png").write_bytes(b"junk")


def _dark_sixteen_bits(data: Path) -> None:
    for path in (data / "cow").iterdir():
        path.unlink()
        values = np.random.default_rng(0).integers(0, 256, (12, 12)).astype(np.uint16)
        path.with_suffix(".png").write_bytes(saved(Image.fromarray(values)))


def _contradicting_shards(folder: Path) -> None:
    write_parquet(folder / "a.parquet", metadata={"class_names": json.dumps(["cat", "cow", "dog"])})
    write_parquet(folder / "b.parquet")


DATA = (
    source("images that are not there", "nowhere"),
    source("a glob that nothing matches", "'*.parquet'"),
    Case(
        "an estimate of images that are not there",
        ("search", "quick", "--set", "data.source=nowhere", "--estimate"),
    ),
    Case("a time without a unit", ("search", "quick", "--budget", "30")),
    Case("a time and a budget", ("search", "quick", "--budget", "30m", "--set", "budget.trials=9")),
    Case("a time and an estimate", ("search", "quick", "--budget", "30m", "--estimate")),
    Case("a time for images that are not there", ("search", "photos", "--budget", "30m")),
    Case("a time on a cluster", ("search", "quick", "--budget", "30m", "--ray-address", "auto")),
    Case("an assumption that is none", ("search", "quick", "--estimate", "--assume", "cores=8")),
    Case("an assumption that is no number", ("search", "quick", "--estimate", "--assume", "devices=many")),
    source("a protocol that does not exist", "nonsense://a/b"),
    source("a source that is empty text", "''"),
    source("a source that is a number", "5"),
    images(
        "a folder without class folders",
        lambda data: [p.rename(data / p.name) for p in (data / "cat").iterdir()],
    ),
    images("a picture beside the class folders", lambda data: (data / "x.png").write_bytes(PIXELS[0])),
    images("a single class folder", _one_class),
    images("class folders that lie deeper", _deeper),
    images("a folder that holds a test split only", _only_test),
    images("a folder without pictures", _no_pictures),
    images("ten pictures that are none", _many_junk),
    images(
        "pictures without a byte", lambda data: [(data / "cat" / f"{i}.png").write_bytes(b"") for i in (0, 3)]
    ),
    images(
        "a picture beyond the limit on pixels",
        lambda data: (data / "cat" / "0.png").write_bytes(saved(Image.new("1", (8_001, 8_000)))),
    ),
    images("a class whose pictures are of no kind that is read", _other_kind),
    images("a class of which no picture can be read", _one_junk_class),
    images("pictures of 8 bits in 16", _dark_sixteen_bits),
    parquet("Parquet without labels", label_column="target"),
    parquet("Parquet without images", column="picture"),
    parquet("images that are text", images=["a"] * 60),
    parquet("labels that are fractions", labels=[0.5] * 60),
    Case(
        "shards of which one names its classes",
        ("search", "mine.yaml"),
        {"mine.yaml": SEARCH.replace("{source: digits}", "{source: '*.parquet'}")},
        _contradicting_shards,
    ),
    parquet("labels that are soft", labels=[[0.5, 0.5]] * 60),
    parquet("multi-hot labels without a label", labels=[[1, 1, 0], [0, 0, 0]] * 30),
    parquet("labels below zero", labels=[-1, *[1] * 59]),
    parquet("labels that are missing", labels=[None, *[1] * 59]),
    parquet("labels of one class", labels=[4] * 60),
    parquet("a label that is empty text", labels=["cat", ""] * 30),
    parquet("an empty list of labels", labels=[[0], []] * 30),
    parquet("a label beyond the names", metadata={"class_names": json.dumps(["a", "b"])}),
    parquet("a class of one image", labels=[0, *[1] * 59]),
    parquet("no rows", count=0, labels=[]),
    parquet("two images", count=2, labels=[0, 1]),
    Case(
        "a text file that is called .parquet",
        ("search", "mine.yaml"),
        {"mine.yaml": SEARCH.replace("{source: digits}", "{source: a.parquet}"), "a.parquet": "no parquet"},
    ),
)

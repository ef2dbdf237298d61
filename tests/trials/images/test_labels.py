"""Labels: read as what they say, whatever their Arrow type, gaps, order and names; one file or several."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pictures import open_from, write_folder, write_parquet

from trials.images.label_columns import RawColumn
from trials.images.labels import PADDING, joined
from trials.images.sources import open_source

CASES = 100  # random tables in the test command; `nightly` has 2,000

# ---------------------------------------------------------------------- one kind each


@pytest.mark.parametrize("one", [1, 1.0])
def test_one_hot_lists_are_one_label_each_and_said_to_be(one: float, tmp_path: Path) -> None:
    source = write_parquet(tmp_path / "a.parquet", count=60, labels=[[one, 0 * one], [0 * one, one]] * 30)
    pack = open_from(source)
    assert pack.classes == ("0", "1")
    assert pack.labels.tolist() == [0, 1] * 30
    assert pack.notes == ("labels are one-hot lists of 2: read as one label of 2 classes for each image",)


def test_width_of_one_hot_lists_is_the_number_of_classes_also_of_those_that_do_not_occur(
    tmp_path: Path,
) -> None:
    source = write_parquet(tmp_path / "a.parquet", count=60, labels=[[1, 0, 0, 0], [0, 0, 1, 0]] * 30)
    pack = open_from(source)
    assert pack.classes == ("0", "1", "2", "3")
    assert pack.labels.tolist() == [0, 2] * 30
    assert pack.notes[-1] == "2 of 4 classes have images; none has 1, 3"


def test_multi_hot_lists_are_several_labels(tmp_path: Path) -> None:
    names = {"class_names": json.dumps(["sky", "sea", "sand"])}
    source = write_parquet(
        tmp_path / "a.parquet", count=60, labels=[[1, 1, 0], [0, 0, 1]] * 30, metadata=names
    )
    pack = open_from(source)
    assert pack.classes == ("sky", "sea", "sand")
    assert pack.labels[:2].tolist() == [[0, 1], [2, PADDING]]
    assert "multi-hot lists of 3" in pack.notes[0]


@pytest.mark.parametrize("ids", [(10, 20, 3000), (1, 2, 3), (5, 9, 1_000_000_007)])
def test_numbers_without_names_are_the_classes_that_occur(ids: tuple[int, ...], tmp_path: Path) -> None:
    pack = open_from(write_parquet(tmp_path / "a.parquet", count=60, labels=list(ids) * 20))
    assert pack.classes == tuple(map(str, ids))
    assert pack.labels.tolist() == [0, 1, 2] * 20
    assert f"from {ids[0]} to {ids[-1]}" in pack.notes[0]


def test_named_classes_without_images_stay_classes_and_are_said(tmp_path: Path) -> None:
    names = json.dumps([f"class {i}" for i in range(1000)])
    source = write_parquet(
        tmp_path / "a.parquet", count=60, labels=[0, 7, 999] * 20, metadata={"class_names": names}
    )
    pack = open_from(source)
    assert pack.num_classes == 1000
    assert set(pack.labels.tolist()) == {0, 7, 999}
    assert pack.notes[0].startswith(
        "3 of 1,000 classes have images; none has class 1, class 2, class 3, and 994"
    )


def test_each_shards_labels_are_read_by_its_own_names(tmp_path: Path) -> None:
    for name, names in (("train-0", ["cat", "dog"]), ("train-1", ["dog", "cow", "cat"])):
        write_parquet(
            tmp_path / f"{name}.parquet", count=20, labels=[0, 1] * 10,
            metadata={"class_names": json.dumps(names)},
        )  # fmt: skip
    source = open_source(str(tmp_path))
    assert source.classes == ("cat", "dog", "cow")
    assert source.labels.tolist() == [0, 1] * 10 + [1, 2] * 10
    assert "train-1.parquet names other classes" in source.notes[0]


@pytest.mark.parametrize(
    ("second", "words"),
    [
        (None, r"b\.parquet: its labels are numbers without names, and .*a\.parquet names its classes"),
        (["x", "y", "x"], r"b\.parquet: its metadata names the class 'x' twice"),
        (["x"], r"b\.parquet: label 2, but its metadata names only 1 classes"),
    ],
)
def test_shards_whose_names_contradict_each_other_are_refused_naming_the_files(
    second: list[str] | None, words: str, tmp_path: Path
) -> None:
    write_parquet(tmp_path / "a.parquet", metadata={"class_names": json.dumps(["x", "y", "z"])})
    metadata = {} if second is None else {"class_names": json.dumps(second)}
    write_parquet(tmp_path / "b.parquet", metadata=metadata)
    with pytest.raises(ValueError, match=words):
        open_from(tmp_path)


def test_names_that_differ_in_case_or_spaces_alone_are_said(tmp_path: Path) -> None:
    pack = open_from(write_parquet(tmp_path / "a.parquet", count=60, labels=["Cat", "cat ", "dog"] * 20))
    assert pack.classes == ("Cat", "cat ", "dog")
    assert "'Cat' and 'cat '" in pack.notes[0]
    write_folder(tmp_path / "animals")
    (tmp_path / "animals" / "cow").rename(tmp_path / "animals" / "CAT")
    assert "'CAT' and 'cat'" in open_from(tmp_path / "animals").notes[0]


@pytest.mark.parametrize(
    "text", ["[" * 100_000 + "]" * 100_000, '{"info": 3}', '{"info": {"features": [1]}}', "\0"]
)
def test_metadata_that_says_nothing_of_classes_is_passed_over(text: str, tmp_path: Path) -> None:
    pack = open_from(write_parquet(tmp_path / "a.parquet", metadata={"huggingface": text}))
    assert pack.classes == ("0", "1", "2")


# ---------------------------------------------------------------------- random tables


def _random_files(rng: np.random.Generator, folder: Path) -> None:
    """One to three files of one kind of labels, with names, gaps and types of their own."""
    kind = str(rng.choice(["numbers", "text", "lists", "texts", "one-hot", "multi-hot", "bools"]))
    classes = int(rng.integers(2, 7))
    ids = np.sort(rng.choice(int(rng.choice([classes, 50, 2**40])), classes, replace=False))
    is_named = bool(rng.integers(2)) and kind in ("numbers", "lists", "one-hot", "multi-hot")
    names = [f"name {i}" for i in rng.permutation(20)[:classes]]
    if is_named:
        ids = np.arange(classes)
    for number in range(rng.integers(1, 4)):
        rows = int(rng.integers(0 if number else 1, 12))
        order = rng.permutation(classes)  # of this file's own names
        several = [np.sort(rng.permutation(classes)[: rng.integers(1, classes + 1)]) for _ in range(rows)]
        one = rng.integers(0, classes, rows)
        values: list[Any] = {
            "numbers": lambda: [int(ids[i]) for i in one],  # noqa: B023
            "text": lambda: [names[i] for i in one],  # noqa: B023
            "bools": lambda: [bool(i % 2) for i in one],  # noqa: B023
            "lists": lambda: [[int(ids[i]) for i in row] for row in several],  # noqa: B023
            "texts": lambda: [[names[i] for i in row] for row in several],  # noqa: B023
            "one-hot": lambda: [[int(i == j) for j in range(classes)] for i in one],  # noqa: B023
            "multi-hot": lambda: [[int(j in row) for j in range(classes)] for row in several],  # noqa: B023
        }[kind]()
        scalar = {
            "numbers": [pa.int64(), pa.uint64(), pa.float64()],
            "lists": [pa.int64(), pa.uint64()],
            "one-hot": [pa.int8(), pa.float32(), pa.bool_()],
            "multi-hot": [pa.uint8(), pa.float64()],
            "bools": [pa.bool_()],
        }.get(kind, [pa.string(), pa.large_string(), pa.string_view()])
        if kind == "texts":
            scalar = scalar[:2]  # pandas reads no lists of views
        chosen = scalar[int(rng.integers(len(scalar)))]
        if kind == "one-hot" and chosen == pa.bool_():
            values = [[bool(on) for on in row] for row in values]
        if kind in ("lists", "texts", "one-hot", "multi-hot"):
            wraps = [pa.list_, pa.large_list] + [lambda t: pa.list_(t, classes)] * kind.endswith("hot")
            column = pa.array(values, wraps[int(rng.integers(len(wraps)))](chosen))
        else:
            column = pa.array(values, chosen)
            if kind in ("numbers", "text") and rng.integers(3) == 0 and chosen != pa.string_view():
                column = column.dictionary_encode()
        table = pa.table({"image": pa.array([b"x"] * rows, pa.binary()), "label": column})
        if is_named:
            own = [names[i] for i in order]
            features = {"info": {"features": {"label": {"names": own}}}}
            metadata = (
                {"class_names": json.dumps(own)} if rng.integers(2) else {"huggingface": json.dumps(features)}
            )
            table = table.replace_schema_metadata(metadata)
        pq.write_table(table, folder / f"part-{number}.parquet")


def _read_by_pandas(folder: Path) -> list[set[str]]:
    """The names of each row's classes, read plainly."""
    found: list[set[str]] = []
    frames = [(path, pd.read_parquet(path)["label"]) for path in sorted(folder.glob("*.parquet"))]
    lists = [list(value) for _, column in frames for value in column if not np.isscalar(value)]
    flat = {float(v) for value in lists for v in value if not isinstance(v, str)}
    is_hot = len({len(value) for value in lists}) == 1 and len(lists[0]) > 1 and flat <= {0.0, 1.0} and flat
    for path, column in frames:
        metadata = pq.read_schema(path).metadata or {}
        names = json.loads(metadata[b"class_names"]) if b"class_names" in metadata else None
        if b"huggingface" in metadata:
            names = json.loads(metadata[b"huggingface"])["info"]["features"]["label"]["names"]
        for value in column:
            row = [value] if np.isscalar(value) else list(value)
            if is_hot:
                row = [i for i, on in enumerate(row) if on]
            if row and not isinstance(row[0], str):
                row = [names[int(i)] if names else str(int(i)) for i in row]
            found.append(set(row))
    return found


def _check_random_table(seed: int, folder: Path) -> None:
    folder.mkdir()
    _random_files(np.random.default_rng(seed), folder)
    source = open_source(str(folder))
    labels = source.labels.reshape(len(source.labels), -1)
    read = [{source.classes[i] for i in row if i != PADDING} for row in labels.tolist()]
    assert read == _read_by_pandas(folder), f"seed {seed}"
    assert len(set(source.classes)) == len(source.classes)


def test_random_tables_of_labels_are_read_as_pandas_reads_them(tmp_path: Path) -> None:
    for seed in range(CASES):
        _check_random_table(seed, tmp_path / str(seed))


@pytest.mark.nightly
def test_two_thousand_random_tables_of_labels_are_read_as_pandas_reads_them(tmp_path: Path) -> None:
    for seed in range(CASES, CASES + 2_000):
        _check_random_table(seed, tmp_path / str(seed))


# ---------------------------------------------------------------------- contradictions


@pytest.mark.parametrize(
    ("labels", "names"), [([[1, 0], [0, 1]], 3), ([[1, 0, 0], [0, 1, 0]], 5), ([[1, 0, 0], [0, 1, 1]], 2)]
)
def test_a_place_for_each_class_and_another_number_of_names_is_refused(
    labels: list[list[int]], names: int, tmp_path: Path
) -> None:
    metadata = {"class_names": json.dumps([f"class {i}" for i in range(names)])}
    source = write_parquet(tmp_path / "a.parquet", count=20, labels=labels * 10, metadata=metadata)
    with pytest.raises(ValueError, match=rf"a.parquet: labels are lists of .* names {names} classes"):
        open_from(source)


def test_one_hot_lists_of_different_lengths_name_both_files(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", count=20, labels=[[1, 0, 0], [0, 1, 0]] * 10)
    write_parquet(tmp_path / "b.parquet", count=20, labels=[[1, 0, 0, 0], [0, 1, 0, 0]] * 10)
    with pytest.raises(ValueError, match=r"a.parquet and .*b.parquet have lists .* lengths \(3, 4\)"):
        open_from(tmp_path)


@pytest.mark.parametrize("names", ['{"0": "cat", "1": "dog"}', "cat,dog", "[1, 2]", '["", "dog"]'])
def test_names_that_are_no_list_of_texts_are_refused_not_ignored(names: str, tmp_path: Path) -> None:
    source = write_parquet(
        tmp_path / "a.parquet", count=20, labels=[0, 1] * 10, metadata={"class_names": names}
    )
    with pytest.raises(ValueError, match=r"a.parquet: the names of classes in its metadata .* are no list"):
        open_from(source)


def test_names_in_the_older_form_of_a_list_are_read(tmp_path: Path) -> None:
    features = {"info": {"features": {"label": [{"names": ["cat", "dog"], "_type": "ClassLabel"}]}}}
    source = write_parquet(
        tmp_path / "a.parquet",
        count=30,
        labels=[[0], [1], [0, 1]] * 10,
        metadata={"huggingface": json.dumps(features)},
    )
    assert open_from(source).classes == ("cat", "dog")


@pytest.mark.parametrize("column", ["image", "label"])
def test_two_columns_of_one_name_are_refused(column: str, tmp_path: Path) -> None:
    table = pq.read_table(write_parquet(tmp_path / "a.parquet", count=20))
    pq.write_table(table.append_column(column, table[column]), tmp_path / "a.parquet")
    with pytest.raises(ValueError, match=f"a.parquet: several columns are called {column}"):
        open_from(tmp_path / "a.parquet")


def test_a_second_column_that_might_be_meant_is_said(tmp_path: Path) -> None:
    table = pq.read_table(write_parquet(tmp_path / "a.parquet", count=30))
    pq.write_table(table.append_column("labels", pa.array(["x", "y"] * 15)), tmp_path / "a.parquet")
    pack = open_from(tmp_path / "a.parquet")
    assert pack.classes == ("0", "1", "2")
    assert pack.notes[0].endswith("a.parquet: image and label are read; left out is labels")


def test_one_long_list_does_not_take_room_in_every_row(tmp_path: Path) -> None:
    """200,000 entries in each of 40,001 rows would be 60 GiB."""
    columns = [
        RawColumn("a.parquet", pa.chunked_array([[[0] * 200_000] + [[0], [1]] * 20_000]), None),
        RawColumn("a.parquet", pa.chunked_array([[list(range(200_000))] + [[0], [1]] * 20_000]), None),
    ]
    with pytest.raises(ValueError, match=r"a.parquet, row 0: a label stands twice"):
        joined(columns[:1])
    with pytest.raises(ValueError, match=r"a.parquet, row 0: its list has 200,000 labels, too many"):
        joined(columns[1:])


# ---------------------------------------------------------------------- said


def test_names_that_look_alike_by_the_encoding_of_a_letter_are_said(tmp_path: Path) -> None:
    labels = ["caf\u00e9", "cafe\u0301", "tea"] * 10
    pack = open_from(write_parquet(tmp_path / "a.parquet", count=30, labels=labels))
    assert len(pack.classes) == 3
    assert "differ in the encoding of a letter" in pack.notes[0]


def test_a_class_without_images_in_a_part_of_the_split_is_said(tmp_path: Path) -> None:
    labels = [[0]] * 30 + [[0, 1]] + [[2]] * 30
    pack = open_from(write_parquet(tmp_path / "a.parquet", count=61, labels=labels))
    assert len(pack.notes) == 1
    assert pack.notes[0] in {
        f"no image of 1 of 3 classes is {word} on: 1" for word in ("trained", "evaluated")
    }

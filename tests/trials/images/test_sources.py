"""Sources: folders, shards and URLs; labels of every kind; what a search must not see."""

import gc
import importlib.util
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pictures import encoded, open_from, write_folder, write_parquet

from trials.images import chosen_images
from trials.images.chosen_images import find_images
from trials.images.config import DataConfig
from trials.images.sources import source_words


@pytest.fixture
def memory() -> Iterator[Any]:
    """fsspec's file system in memory, empty before and after."""
    filesystem = fsspec.filesystem("memory")
    filesystem.store.clear()
    yield filesystem
    filesystem.store.clear()


def copy_to(filesystem: Any, root: Path, target: str) -> str:
    for path in root.rglob("*"):
        if path.is_file():
            filesystem.pipe_file(f"{target}/{path.relative_to(root)}", path.read_bytes())
    return f"memory://{target}"


# ---------------------------------------------------------------------- folders


def test_folder_of_class_folders_is_a_source_of_labelled_images(tmp_path: Path) -> None:
    pack = open_from(write_folder(tmp_path / "animals"))
    assert pack.classes == ("cat", "cow", "dog")
    assert np.bincount(pack.labels).tolist() == [12, 12, 12]
    assert len(pack.train) + len(pack.minival) == 36


def test_stray_files_in_class_folders_are_ignored(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "animals")
    expected = open_from(root)
    for name in ("README.md", ".DS_Store", "cat/Thumbs.db", "cat/notes.txt", ".git/x.png", "empty/list.csv"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("stray")
    pack = open_from(root)
    assert pack.classes == expected.classes
    assert np.array_equal(pack.images, expected.images)


def test_pictures_below_a_class_folder_belong_to_it(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "animals")
    (root / "cat" / "more").mkdir()
    (root / "cat" / "more" / "x.png").write_bytes(encoded(7))
    assert np.bincount(open_from(root).labels).tolist() == [13, 12, 12]


def test_symbolic_links_to_class_folders_are_followed_once(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "animals")
    os.symlink(root, root / "cat" / "loop")
    elsewhere = write_folder(tmp_path / "elsewhere", classes=("emu",))
    os.symlink(elsewhere / "emu", root / "emu")
    pack = open_from(root)
    assert pack.classes == ("cat", "cow", "dog", "emu")
    assert len(pack.labels) == 48


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda root: (root / "x.png").write_bytes(encoded(0)), r"x\.png lies in no class folder"),
        (
            lambda root: [p.rename(root / p.name) for p in (root / "cat").iterdir()],
            "11 more pictures lie",
        ),
    ],
)
def test_pictures_outside_class_folders_are_refused(make: Any, words: str, tmp_path: Path) -> None:
    root = write_folder(tmp_path / "animals")
    make(root)
    with pytest.raises(ValueError, match=words):
        open_from(root)


def test_source_of_one_class_or_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="all images have the label cat"):
        open_from(write_folder(tmp_path / "a", classes=("cat",)))
    (tmp_path / "b" / "cat").mkdir(parents=True)
    (tmp_path / "b" / "cat" / "a.txt").write_text("x")
    with pytest.raises(ValueError, match=r"no \.parquet file and no picture"):
        open_from(tmp_path / "b")


# ---------------------------------------------------------------------- held-out splits


def test_folder_with_splits_is_read_without_its_test_pictures(tmp_path: Path) -> None:
    write_folder(tmp_path / "set" / "train")
    for split in ("val", "test"):
        write_folder(tmp_path / "set" / split, per_class=3)
    pack = open_from(tmp_path / "set")
    assert pack.classes == ("cat", "cow", "dog")
    assert np.array_equal(pack.images, open_from(tmp_path / "set" / "train").images)


def test_class_folder_that_is_called_train_is_a_class(tmp_path: Path) -> None:
    assert open_from(write_folder(tmp_path / "rail", classes=("bus", "train"))).classes == ("bus", "train")


@pytest.mark.parametrize(
    "names",
    [
        ("train.parquet", "test.parquet"),
        ("train-00000-of-00001.parquet", "validation-00000-of-00001.parquet"),
        ("data/train-0.parquet", "data/test-0.parquet"),
        ("train/0.parquet", "test/0.parquet"),
        ("everything.parquet", "eval.parquet"),
        ("cifar10-train.parquet", "cifar10-test.parquet"),
        ("flowers.parquet", "flowers_evaluation.parquet"),
    ],
)
def test_parquet_files_of_several_splits_are_read_without_the_held_out_ones(
    names: tuple[str, str], tmp_path: Path
) -> None:
    for i, name in enumerate(names):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_parquet(tmp_path / name, images=[encoded(100 * i + j) for j in range(30)])
    assert np.array_equal(open_from(tmp_path).images, open_from(tmp_path / names[0]).images)
    if "/" not in names[0]:
        assert np.array_equal(open_from(tmp_path / "*.parquet").images, open_from(tmp_path / names[0]).images)


def test_only_held_out_splits_are_refused_unless_named(tmp_path: Path) -> None:
    write_parquet(tmp_path / "test.parquet")
    write_parquet(tmp_path / "val-0.parquet")
    with pytest.raises(ValueError, match="holds only test, val, which a search must not see"):
        open_from(tmp_path)
    assert len(open_from(tmp_path / "test.parquet").labels) == 60
    write_folder(tmp_path / "set" / "test")
    with pytest.raises(ValueError, match="holds only test, which a search must not see"):
        open_from(tmp_path / "set")


# ---------------------------------------------------------------------- labels


def test_class_names_become_labels_in_alphabetical_order_over_all_shards(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", count=20, labels=["pear", "fig"] * 10)
    write_parquet(tmp_path / "b.parquet", count=20, labels=["apple", "fig"] * 10)
    pack = open_from(tmp_path)
    assert pack.classes == ("apple", "fig", "pear")
    assert pack.labels.tolist() == [2, 1] * 10 + [0, 1] * 10


def test_dictionary_encoded_class_names_are_read_as_names(tmp_path: Path) -> None:
    labels = pa.array(["b", "a"] * 10).dictionary_encode()
    assert open_from(write_parquet(tmp_path / "a.parquet", count=20, labels=labels)).classes == ("a", "b")


def test_lists_in_a_label_column_are_several_labels(tmp_path: Path) -> None:
    features = {"info": {"features": {"labels": {"feature": {"names": ["x", "y", "z"]}}}}}
    source = write_parquet(
        tmp_path / "a.parquet",
        count=30,
        labels=[[0], [1, 2], [2, 0, 1]] * 10,
        label_column="labels",
        metadata={"huggingface": json.dumps(features)},
    )
    pack = open_from(source)
    assert pack.classes == ("x", "y", "z")
    assert pack.labels[:3].tolist() == [[0, -1, -1], [1, 2, -1], [2, 0, 1]]
    assert len(np.intersect1d(pack.train, pack.minival)) == 0


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([[0], []] * 10, "row 1: the list of labels is empty"),
        ([[0], [1, 1]] * 10, "row 1: a label stands twice"),
        ([[0], [-2]] * 10, "row 1: the label is -2"),
        ([[0], None] * 10, "rows without a label: 10; remove"),
        (["a", ""] * 10, "row 1: the label is empty text"),
        ([["a"], ["a", "a"]] * 10, "row 1: a label stands twice"),
        ([0.0, 0.25] * 10, "row 1: the label is 0.25; whole numbers or names expected"),
        ([[0.5, 0.5], [1.0, 0.0]] * 10, "row 0: the label is 0.5"),
        ([[0, 0, 1], [0, 0, 0]] * 10, "row 1: its list holds no 1, so it has no label"),
        ([b"a", b"b"] * 10, "the column of labels is binary"),
        ([[3], [3]] * 10, "all images have the label 3"),
        (["a"] * 20, "all images have the label a"),
    ],
)
def test_values_that_are_no_label_are_refused_by_row(labels: list[Any], words: str, tmp_path: Path) -> None:
    source = write_parquet(tmp_path / "a.parquet", count=20, labels=labels)
    with pytest.raises(ValueError, match=words):
        open_from(source)


def test_shards_with_labels_of_different_kinds_are_refused(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", count=20)
    write_parquet(tmp_path / "b.parquet", count=20, labels=["x", "y"] * 10)
    with pytest.raises(ValueError, match="labels of different kinds"):
        open_from(tmp_path)


# ---------------------------------------------------------------------- file systems


def test_sources_on_any_file_system_give_the_same_images(memory: Any, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "animals")
    (tmp_path / "shards").mkdir()
    write_parquet(tmp_path / "shards" / "train-0.parquet", count=30)
    write_parquet(tmp_path / "shards" / "test-0.parquet", count=30)
    for root in (folder, tmp_path / "shards"):
        url = copy_to(memory, root, f"/{root.name}")
        here, there = open_from(root), open_from(url)
        assert np.array_equal(here.images, there.images)
        assert np.array_equal(here.minival, there.minival)
        assert np.array_equal(open_from(f"file://{root}").images, here.images)
    one = open_from("memory://shards/train-*.parquet")
    assert np.array_equal(one.images, open_from("memory://shards/train-0.parquet").images)


def test_remote_file_that_changed_is_another_source(memory: Any, tmp_path: Path) -> None:
    url = copy_to(memory, write_folder(tmp_path / "animals"), "/animals")
    before = find_images(DataConfig(source=url)).identity
    assert find_images(DataConfig(source=url)).identity == before
    memory.pipe_file("/animals/cat/0.png", encoded(999))
    assert find_images(DataConfig(source=url)).identity != before


def test_a_folder_of_images_is_named_as_it_was_given_and_as_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flowers" / "train").mkdir(parents=True)
    (tmp_path / "digits").mkdir()
    named = {"flowers/train": "flowers/train/", "flowers/": "flowers/", str(tmp_path): f"{tmp_path}/"}
    unchanged = ("digits", "*.parquet", "s3://bucket/train", "train-0.parquet")
    for source, words in {**named, **dict.fromkeys(unchanged)}.items():
        assert source_words(source) == (words or source)


@pytest.mark.parametrize(
    ("url", "package"),
    [("s3://bucket/set", "s3fs"), ("gs://bucket/set", "gcsfs"), ("hf://datasets/a/b", "huggingface_hub")],
)
def test_file_system_whose_package_is_missing_is_refused_by_its_name(url: str, package: str) -> None:
    if importlib.util.find_spec(package):
        pytest.skip(f"{package} is installed")
    with pytest.raises(ValueError, match=f"a package is missing: .*{package}"):
        open_from(url)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("nonsense://a/b", "Protocol not known: nonsense"),
        ("memory://nowhere", "no such file or folder"),
    ],
)
def test_sources_whose_url_cannot_be_opened_say_why(source: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        open_from(source)


@pytest.mark.parametrize("part", ["footer", "anywhere"])
def test_a_flipped_bit_of_a_parquet_file_is_read_or_refused(part: str, tmp_path: Path) -> None:
    source = write_parquet(tmp_path / "a.parquet", metadata={"class_names": json.dumps(["a", "b", "c"])})
    whole = source.read_bytes()
    footer = int.from_bytes(whole[-8:-4], "little") + 8
    rng = np.random.default_rng(0)
    outcomes, said = set(), []
    for _ in range(60):
        damaged = bytearray(whole)
        at = int(rng.integers(len(whole) - footer if part == "footer" else 0, len(whole)))
        damaged[at] ^= 1 << int(rng.integers(8))
        source.write_bytes(bytes(damaged))
        try:
            open_from(source)
            outcomes.add("read")
        except ValueError as error:
            said.append(str(error))
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}
    assert all(str(source) in text or "pictures cannot be read" in text for text in said)


@pytest.mark.parametrize("kind", [pa.binary_view(), pa.large_binary(), pa.binary()])
def test_pictures_of_any_binary_type_are_read(kind: pa.DataType, tmp_path: Path) -> None:
    images = pa.array([encoded(i) for i in range(60)], kind)
    pack = open_from(write_parquet(tmp_path / "a.parquet", images=images))
    assert np.array_equal(pack.images, open_from(write_parquet(tmp_path / "b.parquet")).images)


@pytest.mark.parametrize("wrap", [pa.list_, pa.list_view, pa.large_list_view])
def test_labels_in_any_layout_of_lists_are_read(wrap: Any, tmp_path: Path) -> None:
    labels = pa.array([[i % 3, 3] for i in range(60)], wrap(pa.int16()))
    pack = open_from(write_parquet(tmp_path / "a.parquet", labels=labels))
    assert pack.labels[:3].tolist() == [[0, 3], [1, 3], [2, 3]]


def test_a_large_source_is_not_listed_again_while_it_is_used_and_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chosen_images, "LARGE", 10)
    config = DataConfig(source=str(write_folder(tmp_path / "animals")))
    found = find_images(config)
    assert find_images(config) is found
    del found
    gc.collect()
    assert [recent() for _, recent in chosen_images._recent.values()] == [None]


def test_a_folder_whose_name_looks_like_a_url_is_a_folder(tmp_path: Path) -> None:
    assert open_from(write_folder(tmp_path / "zip::animals")).classes == ("cat", "cow", "dog")


def test_a_url_that_leads_to_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none.zip: \[Errno 2\] No such file"):
        open_from(f"zip://*.png::{tmp_path}/none.zip")


def test_folders_in_a_pattern_say_the_split(tmp_path: Path) -> None:
    for name in ("train", "test"):
        (tmp_path / name).mkdir()
        write_parquet(tmp_path / name / "0.parquet", images=[encoded(100 * len(name) + i) for i in range(30)])
    pack = open_from(f"{tmp_path}/*/0.parquet")
    assert len(pack.labels) == 30
    assert pack.name_of(3) == "train/0.parquet, row 3"


def test_what_is_no_image_source_is_refused_with_what_is_one(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("image,label")
    with pytest.raises(ValueError, match="images come as Parquet files, or as folders of pictures"):
        open_from(tmp_path / "labels.csv")
    root = write_folder(tmp_path / "animals")
    for source in (root / "cat" / "0.png", root / "*" / "*.png"):
        with pytest.raises(
            ValueError, match="names pictures; name the folder that holds their class folders"
        ):
            open_from(source)


def test_a_folder_of_the_name_of_a_built_in_source_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert open_from("digits").notes == ()
    write_folder(tmp_path / "digits")
    assert "what is called so here is ./digits" in open_from("digits").notes[0]
    assert open_from("./digits").classes == ("cat", "cow", "dog")


def test_a_flipped_bit_in_a_page_with_a_checksum_is_found(tmp_path: Path) -> None:
    table = pq.read_table(write_parquet(tmp_path / "a.parquet", count=30))
    pq.write_table(table, tmp_path / "a.parquet", write_page_checksum=True, compression="none")
    data = bytearray((tmp_path / "a.parquet").read_bytes())
    data[data.index(encoded(3)) + 60] ^= 1
    (tmp_path / "a.parquet").write_bytes(bytes(data))
    with pytest.raises(ValueError, match=r"a.parquet: not a readable Parquet file: .*CRC"):
        open_from(tmp_path / "a.parquet")

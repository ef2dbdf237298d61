"""Splits, and Parquet files: layouts, class names, shares, and what is said of what is not right."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import encoded, open_from, write_parquet

from trials.images.chosen_images import find_images
from trials.images.config import DataConfig
from trials.images.packed import open_images
from trials.images.splits import minival_size, split_indices


@settings(max_examples=60, deadline=None)
@given(
    counts=st.lists(st.integers(8, 60), min_size=2, max_size=8),
    share=st.floats(0.2, 0.8),
    seed=st.integers(0, 1000),
)
def test_splits_are_disjoint_stratified_and_seeded(counts: list[int], share: float, seed: int) -> None:
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    train, minival = split_indices(labels, minival=share, seed=seed, classes="abcdefgh")
    assert np.array_equal(np.sort(np.concatenate([train, minival])), np.arange(len(labels)))
    assert len(minival) == round(share * len(labels))
    exact = np.array(counts) * len(minival) / len(labels)
    assert (np.abs(np.bincount(labels[minival], minlength=len(counts)) - exact) < 1).all()
    again = split_indices(labels, minival=share, seed=seed, classes="abcdefgh")
    assert np.array_equal(again[1], minival)


def test_another_seed_gives_another_split_of_minival() -> None:
    labels = np.arange(1000) % 10
    first, second = (split_indices(labels, minival=None, seed=seed, classes="abcdefgh")[1] for seed in (0, 1))
    assert not np.array_equal(first, second)


@pytest.mark.parametrize(
    ("images", "size"), [(1_000, 100), (50_000, 5_000), (100_000, 5_000), (1_281_167, 25_623)]
)
def test_default_minival_is_10_percent_at_most_5000_at_least_2_percent(images: int, size: int) -> None:
    assert minival_size(images) == size


def test_digits_are_built_in_and_keep_a_test_split_back() -> None:
    images = open_images(DataConfig(source="digits"), resolution=16)
    assert images.images.shape == (1438, 16, 16, 3)  # of 1,797
    assert images.num_classes == 10
    assert len(images.train) + len(images.minival) == 1438


@pytest.mark.parametrize("kind", ["bytes", "struct", "img"])
def test_image_columns_of_hugging_face_layouts_are_read_alike(kind: str, tmp_path: Path) -> None:
    plain = open_from(write_parquet(tmp_path / "plain.parquet"))
    images: list[Any] = [encoded(i) for i in range(60)]
    if kind == "struct":
        images = [{"bytes": data, "path": f"{i}.png"} for i, data in enumerate(images)]
    other = open_from(
        write_parquet(tmp_path / "other.parquet", images=images, column="img" if kind == "img" else "image")
    )
    assert np.array_equal(plain.images, other.images)
    assert np.array_equal(plain.minival, other.minival)


def test_folder_and_glob_are_read_as_their_parquet_files_in_order(tmp_path: Path) -> None:
    write_parquet(tmp_path / "b.parquet", images=[encoded(i) for i in range(30, 60)])
    write_parquet(tmp_path / "a.parquet", images=[encoded(i) for i in range(30)])
    whole = open_from(write_parquet(tmp_path / "whole.other"))
    for source in (tmp_path, tmp_path / "*.parquet"):
        assert np.array_equal(open_from(source).images, whole.images)


def test_class_names_come_from_the_metadata(tmp_path: Path) -> None:
    named = write_parquet(tmp_path / "a.parquet", metadata={"class_names": json.dumps(["cat", "dog", "cow"])})
    assert open_from(named).classes == ("cat", "dog", "cow")
    features = {"info": {"features": {"label": {"names": ["x", "y", "z"]}}}}
    hugging = write_parquet(tmp_path / "b.parquet", metadata={"huggingface": json.dumps(features)})
    assert open_from(hugging).classes == ("x", "y", "z")
    assert open_from(write_parquet(tmp_path / "c.parquet")).classes == ("0", "1", "2")


def test_fraction_of_a_source_is_a_stratified_part_of_it(tmp_path: Path) -> None:
    source = write_parquet(tmp_path / "a.parquet")
    whole, half = open_from(source), open_from(source, fraction=0.5)
    assert len(half.labels) == 30
    assert np.bincount(half.labels).tolist() == [10, 10, 10]
    chosen = find_images(DataConfig(source=str(source), fraction=0.5)).chosen
    assert np.array_equal(half.images, whole.images[chosen])


PIXELS = [encoded(i) for i in range(30)]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"column": "picture"}, "no column image or img with images; it has picture, label"),
        ({"images": ["text"] * 30}, "the column image is string"),
        ({"labels": [0.5] * 60}, "row 0: the label is 0.5; whole numbers or names expected"),
        ({"labels": [None, *[1] * 59]}, "rows without a label: 1; remove"),
        ({"labels": [-1, *[1] * 59]}, "row 0: the label is -1"),
        ({"labels": [4] * 60}, "all images have the label 4"),
        ({"metadata": {"class_names": json.dumps(["a", "b"])}}, "label 2, but its metadata names only 2"),
        ({"images": [*PIXELS, b""]}, r"1 of 31 pictures cannot be read: a.parquet, row 30 \(no bytes\)"),
        ({"images": [b"junk", *PIXELS, b"more"]}, "2 of 32 pictures cannot be read: a.parquet, row 0"),
        ({"labels": [0, *[1] * 59]}, "class 0 has a single image"),
    ],
)
def test_faults_of_a_parquet_source_are_named(changes: dict[str, Any], words: str, tmp_path: Path) -> None:
    source = write_parquet(tmp_path / "a.parquet", **changes)
    with pytest.raises(ValueError, match=words):
        open_from(source)


def test_missing_empty_and_foreign_image_sources_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.parquet").write_text("no parquet")
    (tmp_path / "empty").mkdir()
    for name, words in (
        ("nowhere", "no such file or folder"),
        ("empty", "this folder is empty"),
        ("text.parquet", "not a readable Parquet file"),
        ("*.jpg", "no file of that pattern"),
    ):
        with pytest.raises(ValueError, match=words):
            open_from(tmp_path / name)


def test_too_few_images_for_a_minival_are_refused(tmp_path: Path) -> None:
    source = write_parquet(tmp_path / "a.parquet", count=9)
    with pytest.raises(ValueError, match="too few or too many for 3 classes"):
        open_images(DataConfig(source=str(source)), resolution=8)

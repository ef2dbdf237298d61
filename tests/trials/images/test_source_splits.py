"""Which split of a source is read; folders of which it is not clear whether they are splits or classes."""

import os
from pathlib import Path

import pytest
from pictures import encoded, open_from, write_parquet

from trials.images.config import DataConfig
from trials.images.packed import TrialImages, open_images


def evaluated_from(source: Path | str) -> TrialImages:
    return open_images(DataConfig(source=str(source)), resolution=12, only_evaluated=True)


def folders(root: Path, *names: str) -> Path:
    """Class folders of three pictures each."""
    for i, name in enumerate(names):
        (root / name).mkdir(parents=True)
        for j in range(3):
            (root / name / f"{j}.png").write_bytes(encoded(100 * i + j))
    return root


# ---------------------------------------------------------------------- folders


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("train/a", "train/b", "cat"), "not clear whether train is a split or a class: beside it lies cat"),
        (("train/a", "train/b", "training/a"), "train, training are all training images"),
        (("train", "test"), "its folders test, train have the names of splits, not of classes"),
        (("train2017/a", "train2017/b", "val2017/a"), "train2017, val2017 have the names of splits"),
        (("test/a", "test/b", "cat", "dog"), "holds test, by the name a split, beside cat, dog"),
    ],
)
def test_folders_that_may_be_splits_or_classes_are_refused(
    names: tuple[str, ...], words: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=words):
        open_from(folders(tmp_path / "set", *names))


@pytest.mark.parametrize(
    ("names", "folder"),
    [
        (("images/a", "images/b"), "images"),
        (("data/images/a", "data/images/b/c"), "data/images"),
        (("images/train/a", "images/train/b", "images/test/a"), "images"),
        (("train/images/a", "train/images/b", "test/a"), "train/images"),
    ],
)
def test_class_folders_that_lie_deeper_are_named_with_the_folder_to_give(
    names: tuple[str, ...], folder: str, tmp_path: Path
) -> None:
    root = folders(tmp_path / "set", *names)
    (root / "labels.csv").write_text("name,label")
    with pytest.raises(
        ValueError, match=r"two classes are needed; if the classes are its sub-folders"
    ) as caught:
        open_from(root)
    assert str(caught.value).endswith(f"give {root}/{folder}")
    open_from(Path(str(caught.value).rpartition("give ")[2]))


@pytest.mark.parametrize("names", [("cat",), ("cat/old/1",), ("cat", "cat/old", "cat/new")])
def test_a_single_class_is_no_folder_of_classes(names: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"all images have the label cat; at least two classes are needed$"):
        open_from(folders(tmp_path / "set", *names))


def test_one_picture_beside_the_class_folders_does_not_make_splits_classes(tmp_path: Path) -> None:
    root = folders(tmp_path / "set", "train/a", "train/b", "val/a", "val/b")
    (root / "val" / "preview.png").write_bytes(encoded(8))
    (root / "train" / "preview.png").write_bytes(encoded(9))
    with pytest.raises(ValueError, match=r"train/preview.png lies beside the class folders of train"):
        open_from(root)


def test_images_that_are_only_evaluated_are_of_one_split(tmp_path: Path) -> None:
    root = folders(tmp_path / "set", "test/a", "test/b")
    assert evaluated_from(root).classes == ("a", "b")
    folders(root, "train/a", "train/b")
    with pytest.raises(ValueError, match=r"several splits \(test, train\); name .* as in .*/set/test"):
        evaluated_from(root)


# ---------------------------------------------------------------------- Parquet


@pytest.mark.parametrize("other", ["train-0.parquet", "more.parquet"])
def test_parquet_files_that_are_only_evaluated_are_of_one_split(other: str, tmp_path: Path) -> None:
    write_parquet(tmp_path / "test-0.parquet")
    assert len(evaluated_from(tmp_path).labels) == 60
    write_parquet(tmp_path / other)
    with pytest.raises(ValueError, match=r"several splits .* as in .*/test-0.parquet"):
        evaluated_from(tmp_path)


def test_files_and_pictures_beside_the_read_ones_are_said(tmp_path: Path) -> None:
    for i, name in enumerate(("train-00000-of-00003", "train-00002-of-00003", "more")):
        images = [encoded(100 * i + j) for j in range(30)]
        write_parquet(tmp_path / f"{name}.parquet", images=images)
    (tmp_path / "cat.png").write_bytes(encoded(0))
    pack = open_from(tmp_path)
    assert len(pack.labels) == 60
    assert pack.notes == (
        "files are missing, by the names of the others: there are only 2 of 3 train-…-of-00003.parquet",
        "1 Parquet file names no split beside those of train: left out is more.parquet",
        "beside the Parquet files 1 picture is left out",
    )


def test_a_link_to_a_split_does_not_take_its_name(tmp_path: Path) -> None:
    root = folders(tmp_path / "set", "train/a", "train/b", "test/a")
    for folder in ("a", "b"):
        for j in range(3, 9):
            (root / "train" / folder / f"{j}.png").write_bytes(encoded(100 * ord(folder) + j))
    os.symlink(root / "train", root / "latest")
    assert len(open_from(root).labels) == 18

"""Class folders: no class and no picture vanishes without a word."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from pictures import encoded, open_from, write_folder
from PIL import Image


@pytest.mark.parametrize(
    ("suffix", "kind"), [("tiff", "TIFF"), ("gif", "GIF"), ("ppm", "PPM"), ("jfif", "JPEG")]
)
def test_a_class_of_any_kind_that_parquet_files_may_hold_is_a_class(
    suffix: str, kind: str, tmp_path: Path
) -> None:
    root = write_folder(tmp_path / "animals", classes=("cat", "cow"))
    (root / "dog").mkdir()
    for i in range(12):
        (root / "dog" / f"{i}.{suffix.upper()}").write_bytes(encoded(i, kind=kind))
    pack = open_from(root)
    assert pack.classes == ("cat", "cow", "dog")
    assert np.bincount(pack.labels).tolist() == [12, 12, 12]


@pytest.mark.parametrize("suffix", [".heic", ".svg", ".npy", ""])
def test_a_class_all_of_whose_files_are_of_kinds_that_are_not_read_is_refused(
    suffix: str, tmp_path: Path
) -> None:
    root = write_folder(tmp_path / "animals")
    (root / "eel").mkdir()
    for i in range(5):
        (root / "eel" / f"{i}{suffix}").write_bytes(b"data")
    with pytest.raises(
        ValueError, match=rf"the folder eel has 5 files .*\(5 {suffix or 'without a suffix'}\)"
    ):
        open_from(root)


def test_an_empty_class_folder_and_other_files_are_said(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "animals")
    (root / "eel").mkdir()
    (root / "cat" / "notes.txt").write_text("text")
    (root / "cat" / "clip.mp4").write_bytes(b"film")
    (root / "docs").mkdir()
    (root / "docs" / "README.md").write_text("text")
    pack = open_from(root)
    assert pack.classes == ("cat", "cow", "dog")
    assert pack.notes == (
        "3 files are no pictures that are read and are left out (1 .md, 1 .mp4, 1 .txt)",
        "1 folder is empty and no class: eel",
    )


def test_folders_beside_the_train_split_say_nothing_of_its_classes(tmp_path: Path) -> None:
    write_folder(tmp_path / "set" / "train")
    write_folder(tmp_path / "set" / "test")
    (tmp_path / "set" / "raw").mkdir()
    (tmp_path / "set" / "raw" / "0.heic").write_bytes(b"data")
    assert open_from(tmp_path / "set").notes == ()


def test_a_class_whose_pictures_all_cannot_be_read_is_refused_however_few_they_are(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "animals", per_class=40)
    (root / "eel").mkdir()
    (root / "eel" / "0.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match="no picture of class eel can be read"):
        open_from(root, max_corrupt=0.5)


def test_copies_are_counted_and_come_to_one_side_of_the_split(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "animals", per_class=24)
    for i in range(8):
        original = root / "cat" / f"{3 * i}.png"
        shutil.copy(original, root / "cat" / f"copy {i}.png")
        shutil.copy(original, root / "dog" / f"copy {i}.png")
    pack = open_from(root)
    assert pack.notes == (
        "16 of 88 pictures are exact copies of others, on one side of the split. 8 of these pictures are in "
        "several classes, one in cat and dog",
    )
    assert not set(pack.digests[pack.train].tolist()) & set(pack.digests[pack.minival].tolist())
    assert sorted([*pack.train, *pack.minival]) == list(range(88))
    assert 18 <= len(pack.minival) <= 26


def test_pictures_of_one_colour_are_counted_where_they_are_several(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "animals")
    for i in range(5):
        Image.new("RGB", (9, 9), (i, 0, 0)).save(root / "cat" / f"flat{i}.png")
    assert "5 of 41 pictures are of one colour: cat/flat0.png; cat/flat1.png" in open_from(root).notes[0]


def test_pictures_beyond_the_limit_on_pixels_are_left_out_with_its_key(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "animals", per_class=24)
    Image.new("RGB", (100, 100)).save(root / "cat" / "large.png")
    pack = open_from(root, max_pixels=9_999, max_corrupt=0.05)
    assert pack.corrupt == ("cat/large.png (100 x 100 px is too large: at most 9,999 px are read)",)
    with pytest.raises(ValueError, match=r"data\.max_corrupt .*, and data\.max_pixels the size up to which"):
        open_from(root, max_pixels=9_999)
    assert open_from(root, max_pixels=10_000).corrupt == ()


# ---------------------------------------------------------------------- links


def test_a_class_that_is_a_link_to_another_is_refused_whichever_comes_first(tmp_path: Path) -> None:
    for name in ("aye", "eel"):  # before and after the folder that it leads to
        root = write_folder(tmp_path / name)
        os.symlink(root / "cat", root / name)
        with pytest.raises(ValueError, match=f"the folder {name} is a link to cat, so its pictures would be"):
            open_from(root)


def test_a_link_inside_a_class_is_said_and_not_read_twice(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "animals")
    os.symlink(root / "dog", root / "cat" / "more")
    pack = open_from(root)
    assert np.bincount(pack.labels).tolist() == [12, 12, 12]
    assert pack.notes == ("1 folder is a link to others of the source and not read twice: cat/more (dog)",)


def test_a_link_to_a_picture_that_is_gone_is_a_picture_that_cannot_be_read(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "animals")
    (root / "cat" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    assert open_from(root, max_corrupt=0.1).corrupt == ("cat/gone.png (the file is gone)",)
    (root / "eel").mkdir()
    (root / "eel" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(ValueError, match="no picture of class eel can be read"):
        open_from(root, max_corrupt=0.1)

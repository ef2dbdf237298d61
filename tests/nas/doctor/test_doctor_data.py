"""nas doctor SOURCE: what a search would see of the images there."""

import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from conftest import Nas
from pictures import encoded, write_folder, write_parquet

from nas.doctor import data as doctor_data
from nas.doctor.data import data_findings
from nas.doctor.findings import Finding
from trials.images.config import DataConfig
from trials.images.packed import open_images


def findings(source: Path | str, search: str | None = None) -> list[Finding]:
    return list(data_findings(str(source), search=search))


def test_classes_kinds_sizes_copies_and_split_of_a_folder_are_said(tmp_path: Path) -> None:
    found = findings(write_folder(tmp_path / "animals", per_class=60))
    assert {finding.level for finding in found} == {"fine"}
    said = "\n".join(finding.text for finding in found)
    assert "180 images of 3 classes: cat 60, cow 60, dog 60" in said
    assert "PNG RGB 33 %, JPEG RGB 33 %, WEBP RGB 33 %; 20 x 14 px" in said
    assert "no picture is there twice" in said
    assert "a search trains on 162 and evaluates on 18 of them" in said


def test_what_is_odd_in_a_folder_is_noted(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "animals", per_class=60)
    (root / "eel").mkdir()
    for i in range(3):
        (root / "eel" / f"{i}.gif").write_bytes(encoded(500 + i, (30, 30), kind="GIF"))
    (root / "fly").mkdir()
    (root / "cat" / "list.txt").write_text("text")
    shutil.copy(root / "cat" / "0.png", root / "dog" / "again.png")
    notes = [finding.text for finding in findings(root) if finding.level == "note"]
    assert "1 have fewer than 20" in notes[0]
    assert "1 file is no picture that is read and is left out (1 .txt)" in notes[1]
    assert notes[2] == "1 folder is empty and no class: fly"
    assert "1 of 184 pictures are exact copies of others" in notes[3]
    assert "one in cat and dog" in notes[3]


def test_uneven_classes_are_noted_and_many_are_summed_up(tmp_path: Path) -> None:
    labels = [f"class {i}" for i in range(9) for _ in range(20 + 300 * (i == 4))]
    source = write_parquet(
        tmp_path / "a.parquet", images=[encoded(i % 50) for i in range(len(labels))], labels=labels
    )
    first = findings(source)[0]
    assert first.level == "note"
    assert "480 images of 9 classes, from 20 (class 0) to 320 (class 4), median 20" in first.text


def test_unreadable_pictures_hinder_where_they_are_more_than_may_be_left_out(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "animals", per_class=60)
    (root / "cat" / "0.png").write_bytes(b"junk")
    levels = {finding.level for finding in findings(root)}
    assert levels == {"fine", "note"}
    for i in range(1, 10):
        next((root / "cow").glob(f"{i}.*")).write_bytes(b"junk")
    assert "hinders" in {finding.level for finding in findings(root)}


def test_a_source_that_does_not_read_or_is_too_small_hinders(tmp_path: Path) -> None:
    assert [finding.level for finding in findings(tmp_path / "nowhere")] == ["hinders"]
    last = findings(write_folder(tmp_path / "few", per_class=2))[-1]
    assert (last.level, "too few or too many for 3 classes" in last.text) == ("hinders", True)


def test_all_pictures_of_many_are_not_read_for_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor_data, "ALL_READ", 100)
    said = [finding.text for finding in findings(write_folder(tmp_path / "animals", per_class=60))]
    assert any("copies are looked for when the images are packed" in text for text in said)


def test_a_search_file_is_held_against_the_images(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "animals", per_class=60)
    assert findings(root, "quick")[-1] == Finding("search", "fine", "its networks suit 3 classes at 32 px")
    assert findings(root, "nowhere.yaml")[-1].level == "hinders"


def test_doctor_command_takes_a_search_only_with_images(nas: Nas) -> None:
    code, _, said = nas("doctor", "--search", "quick")
    assert (code, "--search goes with DATA" in said) == (2, True)


def test_a_file_that_does_not_read_to_its_end_hinders(tmp_path: Path) -> None:
    table = pq.read_table(write_parquet(tmp_path / "a.parquet", count=60))
    pq.write_table(table, tmp_path / "a.parquet", write_page_checksum=True, compression="none")
    data = bytearray((tmp_path / "a.parquet").read_bytes())
    data[data.index(encoded(3)) + 60] ^= 1
    (tmp_path / "a.parquet").write_bytes(bytes(data))
    last = findings(tmp_path / "a.parquet")[-1]
    assert last.level == "hinders"
    assert "a.parquet: not a readable Parquet file" in last.text


def test_the_split_is_the_one_of_a_search_also_with_copies(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "animals", per_class=40)
    for i in range(0, 40, 3):
        for copy in range(3):
            shutil.copy(root / "cat" / f"{i}.png", root / "cat" / f"{i} copy {copy}.png")
    images = open_images(DataConfig(source=str(root)), resolution=8)
    said = f"a search trains on {len(images.train):,} and evaluates on {len(images.minival):,} of them"
    assert findings(root)[-1].text == said


def test_no_name_of_images_hinders() -> None:
    assert [finding.text for finding in findings("")] == ["no images are named"]

"""Images of a run: recorded when it begins, and compared when it goes on."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pictures import encoded, open_from, write_folder, write_parquet

from search_spaces.settings.config_error import ConfigError
from trials.images.data_record import (
    DataRecord,
    check_same_data,
    note_of_pixels,
    read_facts,
    record_faults,
    record_of,
)
from trials.log.file_names import DATA_FILE, IMAGES_FILE


def recorded(source: Path) -> DataRecord:
    return record_of(str(source), open_from(source, minival=0.25))


@pytest.fixture
def begun(tmp_path: Path) -> tuple[Path, Path]:
    """A folder of images, and one in which they are recorded."""
    source, run = write_folder(tmp_path / "animals"), tmp_path / "run"
    run.mkdir()
    for name, content in recorded(source).files().items():
        (run / name).write_bytes(content)
    return source, run


def test_record_holds_classes_counts_and_a_row_for_each_image(begun: tuple[Path, Path]) -> None:
    source, run = begun
    facts = read_facts(run)
    assert facts is not None
    assert facts.classes == ("cat", "cow", "dog")
    assert facts.images_of_classes == (12, 12, 12)
    assert (facts.train, facts.minival) == (27, 9)
    table = pq.read_table(run / IMAGES_FILE).to_pandas()
    assert table["name"][0] == "cat/0.png"
    assert table["part"].value_counts().to_dict() == {"train": 27, "minival": 9}
    assert facts.source == str(source)


def _swap(root: Path, first: str, second: str) -> None:
    (root / first).rename(root / "aside")
    (root / second).rename(root / first)
    (root / "aside").rename(root / second)


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "added": (
        lambda root: (root / "cow" / "new.png").write_bytes(encoded(999)),
        "1 image added: cow/new.png",
    ),
    "removed": (lambda root: (root / "cow" / "0.png").unlink(), "1 image removed: cow/0.png"),
    "replaced": (
        lambda root: (root / "cow" / "0.png").write_bytes(encoded(999)),
        "1 image replaced: cow/0.png",
    ),
    "moved to another class": (
        lambda root: (root / "cow" / "0.png").rename(root / "cat" / "00.png"),
        "1 image added: cat/00.png\n.*1 image removed: cow/0.png",
    ),
    "renamed class": (
        lambda root: (root / "cow").rename(root / "ox"),
        "no longer classes: cow\n.*new classes: ox",
    ),
    "swapped classes": (lambda root: _swap(root, "cat", "dog"), "24 images replaced: cat/0.png"),
    "new class": (lambda root: shutil.copytree(root / "dog", root / "eel"), "new classes: eel"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_of_the_images_is_refused_naming_it(change: str, begun: tuple[Path, Path]) -> None:
    source, run = begun
    apply, words = CHANGES[change]
    apply(source)
    with pytest.raises(ConfigError, match=rf"(?s)not those that this search began with:.*{words}"):
        check_same_data(recorded(source), run, begun="search")


def test_another_path_or_time_of_the_same_images_is_no_change(
    begun: tuple[Path, Path], tmp_path: Path
) -> None:
    source, run = begun
    shutil.copytree(source, tmp_path / "elsewhere")
    os.utime(tmp_path / "elsewhere" / "cat" / "0.png", (1, 1))
    assert check_same_data(recorded(tmp_path / "elsewhere"), run, begun="search")


def test_pixels_made_by_something_else_are_said(begun: tuple[Path, Path]) -> None:
    source, run = begun
    record = recorded(source)
    assert note_of_pixels(record, run, begun="search") == []
    other = replace(record, facts=replace(record.facts, pixels_by="Pillow 99"))
    assert check_same_data(other, run, begun="search")
    (note,) = note_of_pixels(other, run, begun="search")
    assert note.startswith("pictures are decoded by Pillow 99; when this search began, by Pillow ")
    earlier = json.loads((run / DATA_FILE).read_text())
    del earlier["pixels_by"]
    (run / DATA_FILE).write_text(json.dumps(earlier))
    assert note_of_pixels(other, run, begun="search") == []


def test_a_run_of_an_earlier_version_has_no_record(begun: tuple[Path, Path], tmp_path: Path) -> None:
    assert not check_same_data(recorded(begun[0]), tmp_path, begun="search")


@pytest.mark.parametrize("text", ["", "[]", "{}", "[" * 100_000])
def test_a_damaged_record_is_refused(text: str, begun: tuple[Path, Path]) -> None:
    source, run = begun
    (run / DATA_FILE).write_text(text)
    with pytest.raises(ConfigError, match=r"data\.json: damaged"):
        check_same_data(recorded(source), run, begun="search")


def test_changes_are_refused_also_where_the_list_of_images_does_not_read(begun: tuple[Path, Path]) -> None:
    source, run = begun
    (run / IMAGES_FILE).write_bytes(b"junk")
    assert check_same_data(recorded(source), run, begun="search")
    (source / "cow" / "0.png").unlink()
    with pytest.raises(ConfigError, match="which ones is not known"):
        check_same_data(recorded(source), run, begun="search")


def test_names_that_are_no_utf_8_are_recorded(begun: tuple[Path, Path]) -> None:
    source, _ = begun
    os.rename(source / "cat" / "0.png", os.fsencode(source / "cat") + b"/caf\xe9.png")
    names = recorded(source).images["name"].to_pylist()
    assert "cat/caf\\xe9.png" in names
    assert json.loads(recorded(source).files()[DATA_FILE])["train"] == 27


def test_a_whole_record_has_no_faults_and_every_flipped_bit_of_facts_or_rows_is_one(
    begun: tuple[Path, Path],
) -> None:
    _, run = begun
    assert list(record_faults(run)) == []
    facts = (run / DATA_FILE).read_text()
    for old, new in (("cow", "cox"), ('"digest": "', '"digest": "0')):
        (run / DATA_FILE).write_text(facts.replace(old, new, 1))
        assert len(list(record_faults(run))) == 1
    (run / DATA_FILE).write_text(facts)
    whole = (run / IMAGES_FILE).read_bytes()
    for at in range(8, len(whole), 97):
        damaged = bytearray(whole)
        damaged[at] ^= 1
        (run / IMAGES_FILE).write_bytes(bytes(damaged))
        changed = list(record_faults(run)) or pq.read_table(run / IMAGES_FILE).equals(
            recorded(begun[0]).images
        )
        assert changed


def test_images_with_several_labels_are_recorded_and_verified(tmp_path: Path) -> None:
    source = write_parquet(tmp_path / "a.parquet", labels=[[0], [1, 2], [2, 0, 1]] * 20)
    record = recorded(source)
    for name, content in record.files().items():
        (tmp_path / name).write_bytes(content)
    assert record.images["labels"].to_pylist()[:3] == [[0], [1, 2], [2, 0, 1]]
    assert list(record_faults(tmp_path)) == []

"""Damaged packs: found when their images are first used, by everything that reads them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from pictures import open_from, write_folder

from trials.images import pack_checks, packed
from trials.images.batches import batches
from trials.images.device_images import ResidentImages
from trials.images.pack_checks import DamagedPackError, checksums


def flip(path: Path, at: int) -> None:
    """Flips the lowest bit of a byte, from the end of the file."""
    data = bytearray(path.read_bytes())
    data[-at] ^= 1
    path.write_bytes(bytes(data))


@pytest.fixture
def pack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A source of 36 images, and the folder of its pack."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    source = write_folder(tmp_path / "animals")
    open_from(source)
    (folder,) = [path.parent for path in (tmp_path / "cache").rglob("meta.json")]
    return source, folder


def test_a_damaged_image_is_found_when_it_is_first_used_and_not_before(pack: tuple[Path, Path]) -> None:
    source, folder = pack
    flip(folder / "images.npy", 1)  # in the last image
    images = ResidentImages(open_from(source), torch.device("cpu"))
    assert len(list(batches(images, torch.arange(35), batch_size=5))) == 7
    with pytest.raises(DamagedPackError, match=r"image 35 is not as it was packed"):
        list(batches(images, torch.tensor([3, 35]), batch_size=2))
    again = ResidentImages(open_from(source), torch.device("cpu"))  # the pack was made again
    assert len(list(batches(again, torch.arange(36), batch_size=36))) == 1


def test_each_image_is_checked_once(pack: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    images = ResidentImages(open_from(pack[0]), torch.device("cpu"))
    list(batches(images, torch.arange(36), batch_size=8))
    monkeypatch.setattr(pack_checks.zlib, "crc32", lambda data: pytest.fail("checked again"))
    list(batches(images, torch.arange(36).flip(0), batch_size=8))


@pytest.mark.parametrize("name", ["images.npy", "digests.npy", "checksums.npy", "meta.json"])
def test_a_pack_with_any_damaged_file_is_made_again_where_it_is_verified(
    name: str, pack: tuple[Path, Path]
) -> None:
    source, folder = pack
    opened = open_from(source)
    expected = np.array(opened.images)
    for at in (1, 40, 97):
        flip(folder / name, min(at, (folder / name).stat().st_size))
        found = packed.open_images(
            packed.DataConfig(source=str(source), minival=0.25), resolution=12, verify=True
        )
        assert np.array_equal(found.images, expected)
        assert np.array_equal(found.digests, opened.digests)


def test_checksums_are_those_of_single_images_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.random.default_rng(0).integers(0, 256, (23, 4, 4, 3), dtype=np.uint8)
    whole = checksums(images)
    monkeypatch.setattr(pack_checks, "BLOCK", 5)
    assert np.array_equal(checksums(images), whole)
    assert len(set(whole.tolist())) == 23

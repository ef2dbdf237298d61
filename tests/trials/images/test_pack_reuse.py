"""Pictures of a changed source that are as they were: copied from the earlier pack, and not decoded again."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import encoded, write_folder
from PIL import Image

from trials.images import pack_writer, packed
from trials.images.config import DataConfig
from trials.images.packed import TrialImages, open_images


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The lengths of all pictures that are decoded in this process."""
    lengths: list[int] = []
    real = pack_writer.decode

    def counting(data: bytes, resolution: int, **more: Any) -> np.ndarray:
        lengths.append(len(data))
        return real(data, resolution, **more)

    monkeypatch.setattr(pack_writer, "decode", counting)
    return lengths


def opened(source: Path, cache: Path, *, resolution: int = 12, **changes: Any) -> TrialImages:
    config = DataConfig(source=str(source), **{"minival": 0.25, "max_corrupt": 0.1, **changes})
    return open_images(config, resolution=resolution, cache=cache, verify=True)


def check_as_if_new(found: TrialImages, source: Path, cache: Path, **changes: Any) -> None:
    """The same as without an earlier pack."""
    new = opened(source, cache, **changes)
    assert np.array_equal(found.images, new.images)
    assert (found.digest, found.notes, found.corrupt) == (new.digest, new.notes, new.corrupt)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """36 pictures of three classes, some of one colour, and one that cannot be read."""
    root = write_folder(tmp_path / "animals")
    for i in range(4):
        Image.new("RGB", (9, 9), (i, 0, 0)).save(root / "cat" / f"flat{i}.png")
    (root / "dog" / "junk.png").write_bytes(b"junk")
    return root


@pytest.mark.parametrize("few", [0, 10_000], ids=["in processes", "here"])
def test_a_changed_an_added_and_a_removed_file_leave_the_others_decoded(
    few: int, source: Path, tmp_path: Path, decoded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(source, tmp_path / "cache")
    assert len(decoded) == 41
    decoded.clear()
    monkeypatch.setattr(pack_writer, "MIN_FOR_PROCESSES", few)
    sent: list[int] = []
    answer = pack_writer._Process._answer
    monkeypatch.setattr(
        pack_writer._Process, "_answer", lambda own, each: sent.append(len(each)) or answer(own, each)
    )
    (source / "cat" / "0.png").write_bytes(encoded(901))
    (source / "cow" / "new.png").write_bytes(encoded(902))
    (source / "dog" / "0.png").unlink()
    found = opened(source, tmp_path / "cache")
    assert len(decoded) + sum(sent) == 3  # the changed, the new, and the one that cannot be read
    check_as_if_new(found, source, tmp_path / "other")


def test_a_share_of_the_images_is_not_decoded_again(source: Path, tmp_path: Path, decoded: list[int]) -> None:
    opened(source, tmp_path / "cache")
    decoded.clear()
    found = opened(source, tmp_path / "cache", fraction=0.5)
    assert len(decoded) <= 1
    check_as_if_new(found, source, tmp_path / "other", fraction=0.5)


@pytest.mark.parametrize("change", [{"resolution": 16}, {"max_pixels": 64 * 65}])
def test_pixels_that_would_be_others_are_decoded(
    change: dict[str, int], source: Path, tmp_path: Path, decoded: list[int]
) -> None:
    opened(source, tmp_path / "cache")
    decoded.clear()
    opened(source, tmp_path / "cache", **change)  # type: ignore[arg-type]
    assert len(decoded) == 41


def test_pixels_of_other_decoders_are_not_taken(
    source: Path, tmp_path: Path, decoded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(source, tmp_path / "cache")
    decoded.clear()
    (source / "cow" / "0.png").write_bytes(encoded(904))
    monkeypatch.setattr(packed, "decoders", lambda: "another")
    assert opened(source, tmp_path / "cache").pixels_by == "another"
    assert len(decoded) == 41


def test_damaged_pixels_of_an_earlier_pack_are_decoded_again(
    source: Path, tmp_path: Path, decoded: list[int]
) -> None:
    opened(source, tmp_path / "cache")
    (file,) = (tmp_path / "cache").glob("*/images.npy")
    content = bytearray(file.read_bytes())
    content[-1000] ^= 1
    file.write_bytes(content)
    decoded.clear()
    (source / "cow" / "0.png").write_bytes(encoded(903))
    found = opened(source, tmp_path / "cache")
    assert len(decoded) == 3
    check_as_if_new(found, source, tmp_path / "other")

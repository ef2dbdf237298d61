"""Small sets have a pack for each size; large ones have one, from which smaller images are resized."""

from pathlib import Path

import numpy as np
import pytest
import torch
from pictures import write_folder

from trials.images import pack_sizes
from trials.images.batches import batches, batches_of
from trials.images.config import DataConfig
from trials.images.device_images import ResidentImages
from trials.images.pack_sizes import MOST_BYTES, pack_bytes, stored_size, stored_sizes
from trials.images.packed import TrialImages, open_images

IMAGENET = 1_281_167
V2_S = (128, 185, 242, 300)  # the sizes of EfficientNetV2-S's recipe
CPU = torch.device("cpu")


def opened(source: Path, resolution: int, *sizes: int) -> TrialImages:
    config = DataConfig(source=str(source), minival=0.25)
    return open_images(config, resolution=resolution, sizes=sizes, cache=source.parent / "cache")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "animals")


def packs(source: Path) -> int:
    return len([path for path in (source.parent / "cache").iterdir() if path.is_dir()])


def test_all_sizes_of_imagenet_need_one_pack_of_at_most_350_gb() -> None:
    assert sum(pack_bytes(IMAGENET, size) for size in V2_S) > 700e9
    assert stored_sizes(V2_S, count=IMAGENET) == (300,)
    assert pack_bytes(IMAGENET, 300) <= 350e9
    assert [stored_size(size, V2_S, count=IMAGENET) for size in V2_S] == [300] * 4


def test_small_sets_and_single_sizes_are_stored_at_their_own_size() -> None:
    assert stored_sizes(V2_S, count=50_000) == V2_S
    assert stored_size(128, V2_S, count=50_000) == 128
    assert stored_size(300, (), count=IMAGENET) == 300
    assert pack_bytes(IMAGENET, 300) > MOST_BYTES


def test_a_small_set_gets_a_pack_for_each_size(source: Path) -> None:
    for resolution in (8, 12):
        images = opened(source, resolution, 8, 12)
        assert images.images.shape[1] == images.resolution == resolution
        assert "resized" not in images.pixels_by
    assert packs(source) == 2


def test_of_a_large_set_the_largest_size_is_packed_alone_and_read_at_each(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apart = {resolution: opened(source, resolution, 8, 12) for resolution in (8, 12)}
    before = packs(source)
    monkeypatch.setattr(pack_sizes, "MOST_BYTES", 0)
    large = {resolution: opened(source, resolution, 8, 12) for resolution in (8, 12)}
    assert packs(source) == before  # that of 12 px is the one it was
    for resolution, images in large.items():
        assert (images.images.shape[1], images.resolution) == (12, resolution)
        assert images.pixels_by.endswith("; smaller sizes resized from 12 px")
        assert images.digest == apart[resolution].digest
        assert np.array_equal(images.train, apart[resolution].train)
        resident = ResidentImages(images, CPU)
        assert resident.resolution == resolution
        (batch,) = batches(resident, torch.arange(36), batch_size=36)
        assert batch.images.shape == (36, resolution, resolution, 3)
        # Resized in two steps rather than one, noise is a little smoother.
        difference = batch.images.numpy().astype(int) - apart[resolution].images
        assert np.abs(difference).mean() < (12 if resolution == 8 else 1e-9)


def test_batches_of_several_sizes_come_from_one_pack(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack_sizes, "MOST_BYTES", 0)
    images = [ResidentImages(opened(source, resolution, 8, 12), CPU) for resolution in (8, 12, 8)]
    found = batches_of([(each, torch.arange(4)) for each in images])
    assert [batch.images.shape[1] for batch in found] == [8, 12, 8]
    assert packs(source) == 1

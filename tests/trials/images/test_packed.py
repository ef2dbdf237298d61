"""Packs of images: shared, keyed by their source, made again when damaged; what cannot be read."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from companion import Companion, Told
from pictures import encoded, open_from, saved, write_folder, write_parquet
from PIL import Image

from trials.images import pack_writer
from trials.images.config import DataConfig
from trials.images.packed import default_cache, open_images

PIXELS = [encoded(i) for i in range(30)]


def test_changed_source_is_packed_again_and_a_changed_minival_is_not(tmp_path: Path) -> None:
    source = write_parquet(tmp_path / "a.parquet")
    open_from(source)
    packs = set(default_cache().iterdir())
    open_images(DataConfig(source=str(source), minival=0.4), resolution=12)
    assert set(default_cache().iterdir()) == packs
    write_parquet(source, images=[encoded(i + 100) for i in range(60)])
    assert np.array_equal(open_from(source).images[0].shape, (12, 12, 3))
    assert set(default_cache().iterdir()) > packs


@pytest.mark.parametrize("damage", ["truncated", "no meta", "other labels"])
def test_a_damaged_pack_is_made_again(damage: str, tmp_path: Path) -> None:
    source = write_parquet(tmp_path / "a.parquet")
    cache = tmp_path / "cache"
    config = DataConfig(source=str(source), minival=0.2)
    before = np.array(open_images(config, resolution=12, cache=cache).images)
    (folder,) = [path for path in cache.iterdir() if path.is_dir()]
    if damage == "truncated":
        (folder / "images.npy").write_bytes((folder / "images.npy").read_bytes()[:-100])
    elif damage == "no meta":
        (folder / "meta.json").unlink()
    else:
        (folder / "meta.json").write_text("{}")
    assert np.array_equal(open_images(config, resolution=12, cache=cache).images, before)


def _open_and_tell(told: Told, source: Path, cache: Path, stops: bool) -> None:
    """Says the sum of all pixels and the number of pictures packed; or stops in the middle of packing."""
    packed: list[int] = []

    def on_progress(done: int, total: int) -> None:
        packed.append(done)
        if stops:
            told.say("packing")
            told.wait()

    config = DataConfig(source=str(source), minival=0.2)
    pack = open_images(config, resolution=12, cache=cache, on_progress=on_progress)
    told.say(f"{pack.images.sum()} {max(packed, default=0)}")


def test_workers_that_start_together_share_one_pack(tmp_path: Path) -> None:
    source, cache = write_parquet(tmp_path / "a.parquet"), tmp_path / "cache"
    workers = [Companion(_open_and_tell, source, cache, False) for _ in range(3)]
    ends = [worker.end() for worker in workers]
    assert [code for _, code in ends] == [0, 0, 0]
    found = [tuple(map(int, said.split())) for said, _ in ends]
    assert len({pixels for pixels, _ in found}) == 1
    assert sorted(packed for _, packed in found) == [0, 0, 60]
    assert len([path for path in cache.iterdir() if path.is_dir()]) == 1


def test_whoever_waits_for_a_pack_makes_it_when_the_other_is_killed_while_packing(tmp_path: Path) -> None:
    source, cache = write_parquet(tmp_path / "a.parquet"), tmp_path / "cache"
    first = Companion(_open_and_tell, source, cache, True)
    first.says("packing")
    second = Companion(_open_and_tell, source, cache, False)
    first.kill()
    said, code = second.end()
    pixels, packed = map(int, said.split())
    assert (code, packed) == (0, 60)
    config = DataConfig(source=str(source), minival=0.2)
    assert pixels == int(open_images(config, resolution=12, cache=cache, verify=True).images.sum())
    assert [path.name for path in cache.iterdir() if path.is_dir()] == [pack_folder(cache).name]


def test_failed_packing_leaves_no_pack_behind(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    source = write_parquet(tmp_path / "a.parquet", images=[*PIXELS, b"junk"])
    with pytest.raises(ValueError, match="cannot be read"):
        open_images(DataConfig(source=str(source), minival=0.2), resolution=12, cache=cache)
    assert not [path for path in cache.iterdir() if path.is_dir()]


def pack_folder(cache: Path) -> Path:
    (folder,) = [path for path in cache.iterdir() if path.is_dir()]
    return folder


def test_changed_bytes_of_a_pack_are_found_when_it_is_verified(tmp_path: Path) -> None:
    cache, config = tmp_path / "cache", DataConfig(source=str(write_parquet(tmp_path / "a.parquet")))
    before = np.array(open_images(config, resolution=12, cache=cache).images)
    file = pack_folder(cache) / "images.npy"
    content = bytearray(file.read_bytes())
    content[-1000] ^= 1
    file.write_bytes(content)
    assert not np.array_equal(open_images(config, resolution=12, cache=cache).images, before)
    assert np.array_equal(open_images(config, resolution=12, cache=cache, verify=True).images, before)


def test_leftovers_of_a_killed_packing_are_removed(tmp_path: Path) -> None:
    cache, config = tmp_path / "cache", DataConfig(source=str(write_parquet(tmp_path / "a.parquet")))
    open_images(config, resolution=12, cache=cache)
    folder = pack_folder(cache)
    (cache / f".packing-{folder.name}-left").mkdir()
    (cache / ".packing-another-left").mkdir()
    shutil.rmtree(folder)
    open_images(config, resolution=12, cache=cache)
    assert not list(cache.glob(f".packing-{folder.name}-*"))
    assert (cache / ".packing-another-left").exists()


def test_few_unreadable_pictures_are_left_out_and_named(tmp_path: Path) -> None:
    images = [*PIXELS, b"junk", *PIXELS, b""]
    source = write_parquet(tmp_path / "a.parquet", images=images, labels=[i % 3 for i in range(62)])
    for _ in range(2):  # packed, and found packed
        pack = open_from(source, max_corrupt=0.05)
        assert pack.corrupt == ("a.parquet, row 30 (not a picture)", "a.parquet, row 61 (no bytes)")
        assert not {30, 61} & {*pack.train.tolist(), *pack.minival.tolist()}
        assert len(pack.train) + len(pack.minival) == 60
    with pytest.raises(ValueError, match=r"2 of 62 pictures cannot be read: .*max_corrupt \(0\.01 now\)"):
        open_from(source)


def test_the_split_is_the_same_at_every_resolution(tmp_path: Path) -> None:
    images = [*PIXELS, b"junk", *PIXELS]
    source = write_parquet(tmp_path / "a.parquet", images=images, labels=[i % 3 for i in range(61)])
    config = DataConfig(source=str(source), minival=0.2, max_corrupt=0.05)
    first, second = (open_images(config, resolution=resolution) for resolution in (8, 16))
    assert np.array_equal(first.train, second.train)
    assert np.array_equal(first.minival, second.minival)


def test_a_picture_that_vanishes_while_packing_is_unreadable(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "animals")
    (root / "cat" / "0.png").unlink()
    (root / "cat" / "0.png").symlink_to(root / "cat" / "1.JPG")
    (root / "cat" / "3.png").write_bytes(b"")
    pack = open_from(root, max_corrupt=0.1)
    assert pack.corrupt == ("cat/3.png (no bytes)",)


def test_progress_of_packing_ends_at_the_number_of_images(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    config = DataConfig(source=str(write_parquet(tmp_path / "a.parquet")), minival=0.2)
    open_images(config, resolution=12, on_progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (60, 60)


def test_cache_that_cannot_be_written_is_refused_with_advice(tmp_path: Path) -> None:
    config = DataConfig(source=str(write_parquet(tmp_path / "a.parquet")))
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ValueError, match=r"packed images cannot be kept here .* set XDG_CACHE_HOME"):
        open_images(config, resolution=12, cache=tmp_path / "file" / "packs")


def test_packing_on_a_full_disk_is_refused_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = DataConfig(source=str(write_parquet(tmp_path / "a.parquet")))
    usage = shutil.disk_usage(tmp_path)._replace(free=1_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(ValueError, match=r"packing 60 images at 12 px needs 0\.0 GB and 0\.0 GB are free"):
        open_images(config, resolution=12, cache=tmp_path / "cache")
    assert not [path for path in (tmp_path / "cache").iterdir() if path.is_dir()]


def test_decoding_processes_decode_as_this_one_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_folder(tmp_path / "animals", per_class=70)
    (root / "cow" / "3.png").write_bytes(b"junk")
    config = DataConfig(source=str(root), minival=0.2)
    here = open_images(config, resolution=12, cache=tmp_path / "a")
    monkeypatch.setattr(pack_writer, "MIN_FOR_PROCESSES", 0)
    there = open_images(config, resolution=12, cache=tmp_path / "b")
    assert np.array_equal(here.images, there.images)
    assert here.corrupt == there.corrupt == ("cow/3.png (not a picture)",)
    assert here.checks.all_are_whole()
    assert there.checks.all_are_whole()


def test_decoding_process_that_dies_is_reported_with_its_exit_code(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "gone.npy"
    images = np.lib.format.open_memmap(file, mode="w+", dtype=np.uint8, shape=(1, 8, 8, 3))
    pack = pack_writer.PackArrays(images)
    file.unlink()
    process = pack_writer._Process(pack, 10_000)
    with pytest.raises(ValueError, match="a process that decodes pictures ended with code 1"):
        process.decode([(0, "a", encoded(0))])
    process.close()


@pytest.mark.parametrize("few", [0, 10_000])
def test_a_file_system_that_fails_stops_the_packing(
    few: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A picture that cannot be fetched now may be fetched later: leaving it out would change the split."""
    root = write_folder(tmp_path / "animals")
    monkeypatch.setattr(pack_writer, "MIN_FOR_PROCESSES", few)
    (root / "cat" / "0.png").unlink()
    (root / "cat" / "0.png").symlink_to("/proc/self/mem")  # opens, and fails when it is read
    with pytest.raises(ValueError, match=r"cat/0\.png: cannot be read now"):
        open_from(root, max_corrupt=0.5)


def test_other_bytes_of_the_same_size_and_time_are_packed_anew(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "animals")
    path = root / "cat" / "0.png"
    before, status = open_from(root), path.stat()
    path.write_bytes(saved(Image.new("RGB", (20, 14)), "PNG").ljust(status.st_size, b"\0"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (status.st_size, status.st_mtime_ns)
    assert open_from(root).digest != before.digest

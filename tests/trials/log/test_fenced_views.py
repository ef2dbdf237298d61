"""Views of a run that an older driver replaces late: never that of a newer one."""

import threading
from pathlib import Path
from typing import Any

import pytest
from fault_files import FaultyDisk, Operation
from fault_store import FaultyStore, Request
from obstore.exceptions import GenericError
from recorded_rows import fill, finished

from trials.log.bucket_files import BucketFiles
from trials.log.disk_wait import LogNotWrittenError
from trials.log.durable_files import DurableFiles
from trials.log.log_end import FencedError
from trials.log.object_store import Objects
from trials.log.store import RunStore
from trials.log.views import log_reflected

URL = "s3://bucket/run"
VIEW = "trials.parquet"


def mirror(folder: Path, store: FaultyStore) -> BucketFiles:
    client: Any = store
    return BucketFiles(folder, URL, store=client, sleep=lambda seconds: None)


def stored_run(folder: Path) -> Any:
    """A run of three trials and two open asks in a store; gives the store."""
    first = FaultyStore()
    fill(folder, files=mirror(folder, first))
    return first.inner


def test_a_view_that_arrives_late_in_an_object_store_does_not_replace_that_of_a_newer_driver(
    tmp_path: Path,
) -> None:
    """The older driver has asked who writes, and its request is under way when another one begins."""
    inner = stored_run(tmp_path / "first")
    newer_view: list[bytes] = []

    def begin_another(request: Request) -> None:
        if request.name == "put" and request.key == VIEW and not newer_view:
            newer_view.append(b"")
            folder = tmp_path / "newer"
            with RunStore(folder, files=mirror(folder, FaultyStore(inner))) as newer:
                newer.record_trial(finished(newer.asks[3]))
                newer.refresh_views(force=True)
            newer_view[0] = bytes(inner.get(VIEW).bytes())

    folder = tmp_path / "older"
    older_store = FaultyStore(inner, watch=begin_another)
    with RunStore(folder, files=mirror(folder, older_store)) as older, pytest.raises(FencedError):
        older.refresh_views(force=True)
    assert bytes(inner.get(VIEW).bytes()) == newer_view[0] != b""


def test_a_view_of_an_older_driver_is_replaced_though_its_version_is_not_known(tmp_path: Path) -> None:
    """The older one writes once more between the newer one's start and its first view: that one is newer."""
    inner = stored_run(tmp_path / "first")
    older_folder, folder = tmp_path / "older", tmp_path / "newer"
    with (
        RunStore(older_folder, files=mirror(older_folder, FaultyStore(inner))) as older,
        RunStore(folder, files=mirror(folder, FaultyStore(inner))) as newer,
    ):
        inner.put(VIEW, b"of the older driver")
        newer.refresh_views(force=True)
        inner.put(VIEW, b"of the older driver, whose request was on its way for long")
        newer.refresh_views(force=True)
        newest = bytes(inner.get(VIEW).bytes())
        assert log_reflected(newest).through > 0
        with pytest.raises(FencedError):
            older.write_text("best.yaml", "mine")
    assert bytes(inner.get(VIEW).bytes()) == newest


def test_a_view_whose_answer_was_lost_is_replaced_again_by_its_own_driver(tmp_path: Path) -> None:
    inner = stored_run(tmp_path / "first")
    folder = tmp_path / "second"
    store = FaultyStore(inner)
    with RunStore(folder, files=mirror(folder, store)) as opened:
        opened.write_text("best.yaml", "one")
        carried_out = inner.put

        class Deaf:
            """A store that loses the answer to one put."""

            def put(self, key: str, data: bytes, **options: Any) -> Any:
                store.inner = inner
                carried_out(key, data, **options)
                raise GenericError("connection closed before the answer")

            def __getattr__(self, name: str) -> Any:
                return getattr(inner, name)

        store.inner = Deaf()
        with pytest.raises(LogNotWrittenError):
            opened.write_text("best.yaml", "two")
        opened.write_text("best.yaml", "three")
    assert Objects(URL, store=FaultyStore(inner)).get("best.yaml") == b"three"  # type: ignore[arg-type]


def test_a_store_that_knows_no_conditions_is_named(tmp_path: Path) -> None:
    """It answers each conditional replacement as if the object had changed."""
    inner = stored_run(tmp_path / "first")
    folder = tmp_path / "second"
    store = FaultyStore(inner)
    with RunStore(folder, files=mirror(folder, store)) as opened:
        opened.write_text("best.yaml", "one")
        head = store.head
        store.head = lambda key: {**head(key), "e_tag": '"another"'}  # type: ignore[method-assign]
        opened.write_text("best.yaml", "two")  # by the tag of its own put
        opened._files._replaced.clear()  # type: ignore[attr-defined]
        with pytest.raises(
            LogNotWrittenError, match=r"does not replace best.yaml on a condition \(If-Match\)"
        ):
            opened.write_text("best.yaml", "three")


def test_a_view_that_is_renamed_late_on_a_disk_does_not_replace_that_of_a_newer_driver(
    tmp_path: Path,
) -> None:
    """The older driver has asked, and holds the folder; the newer one waits until that is done."""
    folder = tmp_path / "run"
    fill(folder)
    threads: list[threading.Thread] = []
    claimed, written = threading.Event(), threading.Event()

    def another() -> None:
        with RunStore(folder) as newer:
            claimed.set()
            newer.record_trial(finished(newer.asks[3]))
            newer.refresh_views(force=True)
            written.set()

    def watch(step: Operation, disk: FaultyDisk, data: bytes) -> None:
        if step.name == "rename" and VIEW in step.path.name and not threads:
            (folder / "lock").unlink()
            threads.append(threading.Thread(target=another))
            threads[0].start()
            assert claimed.wait(30)
            assert not written.wait(0.2)  # it cannot: this one is not done

    disk = FaultyDisk(tmp_path, watch=watch)
    with RunStore(folder, files=DurableFiles(disk)) as older:
        with pytest.raises(FencedError):
            older.refresh_views(force=True)
        threads[0].join(30)
        view = (folder / VIEW).read_bytes()
        with pytest.raises(FencedError):
            older.write_text("best.yaml", "mine")
    assert written.is_set()
    with RunStore(folder) as store:
        assert log_reflected(view).through > 0
        assert sorted(store.trials) == [0, 1, 2, 3]
    assert not list(folder.glob(".*"))

"""Runs in the stores of Amazon, Google and Azure: conditions on the wire, and what the answers mean."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from cloud_stores import SCHEMES, CloudStore, cloud, environment
from fault_searches import Record, config_of, record_of
from formula import formula_worker

from nas.events import RowWritten, SearchEvent
from nas.results.verify import verify_run
from nas.search.search import search
from trials.executors.simulated import simulated
from trials.log import bucket_files
from trials.log.bucket_files import BucketFiles
from trials.log.disk_wait import LogNotWrittenError
from trials.log.durable_files import NameTakenError
from trials.log.log_end import FencedError
from trials.log.object_store import Objects, Tag
from trials.log.run_places import run_folder
from trials.log.store import RunStore

NEW = {"s3": "if-none-match: *", "az": "if-none-match: *", "gs": "x-goog-if-generation-match: 0"}
TAKEN = {"s3": 412, "gs": 412, "az": 409}
PART = "runs/first/log/parts/p"


@pytest.fixture(params=SCHEMES)
def store(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[CloudStore]:
    """A server of each kind; the environment leads to it, from a machine that has seen no run."""
    with cloud(request.param) as (store, url):
        for name, value in {**environment(request.param, url), "XDG_CACHE_HOME": str(tmp_path)}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("trials.log.object_store.RETRIES", {"max_retries": 0})
        monkeypatch.setattr(bucket_files, "PAUSES", (0.0, 0.0))
        yield store


def url_in(store: CloudStore) -> str:
    return f"{store.scheme}://bucket/runs/first"


def searched(url: str, *, stop_after: int | None = None, segment_size: int = 4) -> Record:
    """The record of a search to its end, or to a row."""

    def stop(event: SearchEvent) -> None:
        if isinstance(event, RowWritten) and event.row["trial_id"] == stop_after:
            raise LogNotWrittenError

    open_run = partial(RunStore, segment_size=segment_size)
    config = config_of("evolution")
    search(
        config, run_folder(url), execute=simulated(), start=formula_worker, on_event=stop, open_run=open_run
    )
    with RunStore(run_folder(url), segment_size=segment_size) as opened:
        return record_of(opened)


def test_new_objects_and_versions_are_conditions_on_the_wire_and_refusals_are_understood(
    store: CloudStore,
) -> None:
    objects = Objects(url_in(store))
    first = objects.put("a", b"one", new=True)
    assert objects.tag("a") == first
    with pytest.raises(NameTakenError):
        objects.put("a", b"two", new=True)
    second = objects.put("a", b"two", over=first)
    with pytest.raises(NameTakenError):
        objects.put("a", b"three", over=first)
    with pytest.raises(NameTakenError):
        objects.put("gone", b"three", over=first)
    assert (objects.get("a"), objects.get("gone"), objects.tag("gone")) == (b"two", None, None)
    objects.put("a", b"four")
    puts = [seen for seen in store.seen if seen.method == "PUT"]
    new, version = NEW[store.scheme], f"if-match: {first.e_tag}"
    if store.scheme == "gs":
        version = f"x-goog-if-generation-match: {first.version}"
    assert [seen.condition for seen in puts] == [new, new, version, version, version, ""]
    taken = [seen.status for seen in puts if seen.status // 100 != 2]
    assert taken == [TAKEN[store.scheme], 412, 404 if store.scheme == "s3" else 412]
    assert second != first


def test_objects_are_listed_in_pages_read_in_pieces_and_removed(
    store: CloudStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trials.log.object_store.PIECE", 4)
    objects = Objects(url_in(store))
    for number in range(100):
        objects.put(f"log/{number:03}", b"", new=True)
    objects.put("whole", b"0123456789", new=True)
    assert (len(objects.tags()), len(objects.tags("log"))) == (101, 100)
    assert Objects(f"{store.scheme}://bucket").folders("runs/*") == ["runs/first"]
    assert objects.get("whole") == b"0123456789"
    objects.remove("whole")
    objects.remove("whole")
    assert objects.get("whole") is None


def test_a_search_is_stopped_and_goes_on_from_another_machine_as_if_on_a_disk(
    store: CloudStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = url_in(store)
    with pytest.raises(LogNotWrittenError):
        searched(url, stop_after=5)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    assert searched(url) == searched(str(tmp_path / "disk"))
    assert verify_run(run_folder(url)).is_whole
    puts = [seen for seen in store.seen if seen.method == "PUT" and seen.status // 100 == 2]
    parts = [seen for seen in puts if seen.key.startswith(PART)]
    assert len(parts) > 24
    assert {seen.condition for seen in parts} == {NEW[store.scheme]}
    assert len({seen.key for seen in parts}) == len(parts)
    unconditional = {seen.key.removeprefix("runs/first/") for seen in puts if not seen.condition}
    assert all(key.startswith("log/segments/") for key in unconditional)  # named by their digests


def test_the_mirror_of_each_store_fetches_only_what_it_has_not(store: CloudStore) -> None:
    searched(url_in(store))
    run_folder(url_in(store))
    before = len(store.seen)
    run_folder(url_in(store))
    assert {(seen.method, seen.key) for seen in store.seen[before:]} == {("GET", "")}


def test_the_older_of_two_drivers_stops_and_replaces_neither_part_nor_view(
    store: CloudStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = url_in(store)
    with pytest.raises(LogNotWrittenError):
        searched(url, stop_after=5)
    with RunStore(run_folder(url)) as older:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
        searched(url)
        held = dict(store.objects)
        for write in (
            lambda: older.write_text("best.yaml", "mine"),
            lambda: older.record_ask({**older.asks[0], "trial_id": 99}),
        ):
            with pytest.raises(FencedError, match="another driver has begun"):
                write()
        older.refresh_views(force=True)
    assert store.objects == held


def test_a_conflict_is_no_other_driver(store: CloudStore, tmp_path: Path) -> None:
    """S3 answers 409 to requests that come at once, and takes none: it is asked again."""
    files = BucketFiles(tmp_path / "run", url_in(store), sleep=lambda seconds: None)
    store.conflicts = 1
    files.create(tmp_path / "run" / "part.parquet", b"mine")
    store.conflicts = 1
    assert files.replace(tmp_path / "run" / "view.parquet", b"one", lambda: False)
    store.conflicts = 1
    assert files.replace(tmp_path / "run" / "view.parquet", b"two", lambda: False)
    assert files.read_back(tmp_path / "run" / "view.parquet") == b"two"
    store.conflicts = 9
    with pytest.raises(OSError, match=r"refuses other\.parquet as if it were there, and it is not"):
        files.create(tmp_path / "run" / "other.parquet", b"mine")


def test_a_store_without_tags_is_written_without_conditions() -> None:
    assert Tag(None, None).mode() == "overwrite"
    assert Tag('"a"', None).mode() == {"e_tag": '"a"'}

"""Runs in object stores: durable in the bucket alone, continued elsewhere, with faults at every request."""

import random
import shutil
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fault_searches import Record, config_of, record_of
from fault_store import Fault, FaultyStore, Request, Vanished
from folders import files_of
from formula import formula_worker
from store_server import SECRET

from nas.events import RowWritten, SearchEvent
from nas.results.status import run_status
from nas.results.verify import verify_run
from nas.search.search import search
from nas.strategies.table import STRATEGIES
from search_spaces.settings.config_error import ConfigError
from trials.executors.simulated import simulated
from trials.log.bucket_files import BucketFiles
from trials.log.continuing import continue_command
from trials.log.disk_wait import LogNotWrittenError, Patience
from trials.log.log_end import FencedError
from trials.log.row_types import TrialRow
from trials.log.run_places import place_of, run_folder, url_of
from trials.log.store import RunStore

URL = "s3://bucket/runs/first"
SEED = 11


def mirror(parent: Path, store: FaultyStore) -> BucketFiles:
    """The files of a run on a machine that has never seen it."""
    store_and_clock: Any = {"store": store, "sleep": lambda seconds: None}
    return BucketFiles(parent / "run", URL, **store_and_clock)


def run(
    parent: Path,
    store: FaultyStore,
    strategy: str,
    *,
    told: list[TrialRow] | None = None,
    patience: Patience | None = None,
) -> None:
    """Searches to the end, on a machine that has never seen the run."""

    def note(event: SearchEvent) -> None:
        if told is not None and isinstance(event, RowWritten):
            told.append(event.row)

    files = mirror(parent, store)
    files.refresh()
    open_run = partial(RunStore, files=files, segment_size=4, patience=patience)
    config = config_of(strategy)
    search(
        config, parent / "run", execute=simulated(), start=formula_worker, open_run=open_run, on_event=note
    )


def recorded(parent: Path, store: FaultyStore) -> Record:
    """All asks and rows in the bucket, but for what may differ between runs of one search."""
    store = FaultyStore(store.inner)
    with RunStore(parent / "run", files=mirror(parent, store), segment_size=4) as opened:
        return record_of(opened)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The record and the requests of an undisturbed search."""
    known: dict[str, tuple[Record, list[Request]]] = {}

    def of(strategy: str) -> tuple[Record, list[Request]]:
        if strategy not in known:
            folder = tmp_path_factory.mktemp(strategy)
            store = FaultyStore()
            run(folder / "search", store, strategy)
            known[strategy] = recorded(folder / "read", store), store.requests
        return known[strategy]

    return of


def survive(parent: Path, strategy: str, expected: Record, *faults: Fault) -> None:
    """A search that meets these faults; as often as it stops it is continued on another machine."""
    store, told = FaultyStore(faults=faults), list[TrialRow]()
    patience = Patience(seconds=60, sleep=lambda seconds: None)
    for machine in range(len(faults) + 2):
        try:
            run(parent / str(machine), store, strategy, told=told, patience=patience)
            break
        except (Vanished, ConfigError, LogNotWrittenError, OSError):
            store = FaultyStore(store.inner, faults=tuple(f for f in faults if f.at > len(store.requests)))
    assert recorded(parent / "read", store) == expected, faults
    with RunStore(parent / "read" / "run", files=mirror(parent / "read", FaultyStore(store.inner))) as opened:
        for row in told:
            assert opened.trials[row["trial_id"]]["reward"] == row["reward"], (
                faults,
                "acknowledged and lost",
            )
    assert verify_run(parent / "read" / "run").faults == (), faults
    shutil.rmtree(parent)


KINDS = ("lost", "answered_not", "gone_before", "gone_after")


@pytest.mark.parametrize("strategy", ["evolution", "successive_halving"])
def test_faults_at_a_sample_of_requests_lose_nothing(strategy: str, whole: Any, tmp_path: Path) -> None:
    """Each strategy goes on with a log on a disk by day, and here by night."""
    expected, requests = whole(strategy)
    rng = random.Random(SEED)
    # Each kind where a part is created, which has the most to be mended.
    creating = [request.number for request in requests if request.name == "create"]
    for kind in KINDS if strategy == "evolution" else rng.sample(KINDS, 1):
        fault = Fault(rng.choice(creating), kind, times=rng.choice([1, 1, 3]))
        survive(tmp_path / kind, strategy, expected, fault)
    pair = [Fault(rng.randrange(len(requests)), rng.choice(KINDS)) for _ in range(2)]
    survive(tmp_path / "pair", strategy, expected, *pair)


@pytest.mark.nightly
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_faults_at_every_request_and_pairs_lose_nothing(strategy: str, whole: Any, tmp_path: Path) -> None:
    expected, requests = whole(strategy)
    cases = 0
    for request in requests:
        for kind in KINDS:
            survive(tmp_path / "one", strategy, expected, Fault(request.number, kind))
            cases += 1
    rng = random.Random(SEED)
    for _ in range(2000):
        pair = [Fault(rng.randrange(len(requests)), rng.choice(KINDS)) for _ in range(2)]
        survive(tmp_path / "two", strategy, expected, *pair)
        cases += 1
    print(f"\n{strategy}: {len(requests)} requests, {cases} cases")


def test_an_older_driver_is_fenced_by_one_on_another_machine(tmp_path: Path) -> None:
    """The first stands still while the second searches to the end, and has no lock in common with it."""
    inner = FaultyStore().inner
    first, second = list[TrialRow](), list[TrialRow]()

    def begin_another(request: Request) -> None:
        if request.number == 60:
            run(tmp_path / "second", FaultyStore(inner), "evolution", told=second)

    older = FaultyStore(inner, watch=begin_another)
    with pytest.raises(FencedError, match=r"another driver has begun on this run \(driver 2: process"):
        run(tmp_path / "first", older, "evolution", told=first)
    written = [request for request in older.requests if request.number > 60 and request.name == "create"]
    assert len(written) <= 1  # the refused one
    with RunStore(tmp_path / "read" / "run", files=mirror(tmp_path / "read", FaultyStore(inner))) as opened:
        assert sorted(opened.trials) == list(range(12))
        for row in (*first, *second):
            assert opened.trials[row["trial_id"]] == row
    assert verify_run(tmp_path / "read" / "run").is_whole


def test_a_trial_costs_few_requests_and_no_lists(tmp_path: Path) -> None:
    store = FaultyStore()
    run(tmp_path / "search", store, "random_search")
    names = [request.name for request in store.requests]
    first, last = (i for i, r in enumerate(store.requests) if r.name == "create" and r.number in edges(store))
    steady = store.requests[first : last + 1]
    assert "list" not in [request.name for request in steady]
    # When it was opened, by the command and twice by the driver; at the end, for checkpoints that were left.
    assert names.count("list") == 4
    puts = [r for r in steady if r.name in ("put", "create") and "segments" not in r.key]
    assert len(puts) / 12 <= 4


def edges(store: FaultyStore) -> tuple[int, int]:
    """The first and the last record of a trial."""
    created = [request.number for request in store.requests if request.name == "create"]
    return created[2], created[-1]


def test_the_mirror_fetches_only_what_it_has_not(tmp_path: Path) -> None:
    store = FaultyStore()
    run(tmp_path / "search", store, "random_search")
    again = FaultyStore(store.inner)
    mirror(tmp_path / "search", again).refresh()
    assert again.counts() == {"list": 1}
    fresh = FaultyStore(store.inner)
    mirror(tmp_path / "new", fresh).refresh()
    assert fresh.counts()["get"] == len([entry for page in store.inner.list() for entry in page])


def test_lists_that_come_late_lose_nothing(whole: Any, tmp_path: Path) -> None:
    """Objects that are not listed yet are found where their position is taken, or asked for when missed."""
    expected, _ = whole("evolution")
    for at in (45, 70):
        store = FaultyStore(faults=(Fault(at, "gone_before"),))
        with pytest.raises(Vanished):
            run(tmp_path / f"{at}-first", store, "evolution")
        late = FaultyStore(store.inner, lag=4)
        run(tmp_path / f"{at}-second", late, "evolution")
        assert recorded(tmp_path / f"{at}-read", late) == expected


def test_parts_that_a_list_misses_are_asked_for_before_a_loss_is_declared(tmp_path: Path) -> None:
    store = FaultyStore(faults=(Fault(60, "gone_before"),))
    with pytest.raises(Vanished):
        run(tmp_path / "first", store, "evolution")
    files = mirror(tmp_path / "second", FaultyStore(store.inner))
    listed = files._listed
    missed = sorted(key for key in listed() if "/parts/" in key)[-2]
    files._listed = lambda: {key: tag for key, tag in listed().items() if key != missed}  # type: ignore[method-assign]
    with RunStore(tmp_path / "second" / "run", files=files, segment_size=4) as opened:
        assert not opened.quarantined
        rows, asks = dict(opened.trials), dict(opened.asks)
    with RunStore(
        tmp_path / "third" / "run", files=mirror(tmp_path / "third", FaultyStore(store.inner))
    ) as whole:
        assert (whole.trials, whole.asks) == (rows, asks)
    assert verify_run(tmp_path / "third" / "run").is_whole


# ---------------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("place", "said"),
    [
        (
            "ftp://host/run",
            "no place that is known: take a folder, or a URL that begins with s3://, gs://, az://",
        ),
        ("s3://bucket", "a bucket and a path in it are expected"),
        ("s3://bucket/../etc", "a bucket and a path in it are expected"),
        ("s3:///run", "a bucket and a path in it are expected"),
        ("s3://bucket/a b", "a bucket and a path in it are expected"),
    ],
)
def test_places_that_hold_no_run_are_refused(place: str, said: str) -> None:
    for typed in (place, Path(place)):
        with pytest.raises(ConfigError, match=said):
            url_of(typed)


def test_without_its_client_a_store_is_refused_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for name in ("obstore", "obstore.store"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigError, match=r"pip install 'training-aware-nas\[store\]'"):
        run_folder(URL)
    assert list(tmp_path.iterdir()) == []


def test_a_url_is_known_however_its_slashes_were_kept() -> None:
    assert url_of(Path("s3://bucket/runs/first")) == url_of("s3://bucket/runs/first/") == URL
    assert url_of("runs/first") is None
    assert url_of(Path("/runs/s3")) is None


# ---------------------------------------------------------------------- a real server


def test_a_search_in_a_bucket_is_read_and_continued_from_another_machine(
    server: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = run_folder(URL)
    assert f"{folder.stat().st_mode & 0o777:o}" == "700"  # as a new run's own folder
    assert place_of(folder) == place_of(URL) == place_of(Path(URL)) == URL
    assert continue_command(folder) == f"nas search {URL}/search.yaml --run {URL}"
    search(config_of("evolution"), folder, execute=simulated(), start=formula_worker)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    there = run_folder(Path(URL))
    assert there != folder
    assert run_status(there).state == "finished"
    assert verify_run(there).is_whole
    config = config_of("evolution", budget={"trials": 14})
    assert len(search(config, there, execute=simulated(), start=formula_worker).rows) == 14
    assert not [name for name, held in files_of(there).items() if SECRET.encode() in held]


def test_an_error_tells_no_secret_of_an_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Endpoints may hold a password, and queries a signature (Azure's, say)."""
    for name, value in {
        "AWS_ENDPOINT_URL": "http://somebody:a-password@127.0.0.1:1", "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "an-access-key", "AWS_SECRET_ACCESS_KEY": SECRET,
        "XDG_CACHE_HOME": str(tmp_path),
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("trials.log.object_store.RETRIES", {"max_retries": 0})
    with pytest.raises(ConfigError, match=r"does not answer: .*127\.0\.0\.1:1/bucket in ") as refused:
        run_folder(URL)
    for secret in ("somebody", "a-password", SECRET, "an-access-key", "list-type"):
        assert secret not in str(refused.value)


def test_a_bucket_that_is_not_there_is_refused(server: None) -> None:
    with pytest.raises(ConfigError, match=r"s3://no-such-bucket/run: .*no"):
        search(
            config_of("evolution"),
            run_folder("s3://no-such-bucket/run"),
            execute=simulated(),
            start=formula_worker,
        )

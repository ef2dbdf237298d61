"""Searches in a bucket of a real server, through a proxy that disturbs requests: no loss, nothing silent."""

import itertools
import random
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fault_proxy import KINDS, SLOW, TIMEOUT, Fault, FaultProxy, proxied
from fault_searches import Record, config_of, record_of
from formula import formula_worker
from store_server import SECRET, serving

from nas.cli import _exit_code
from nas.events import RowWritten, SearchEvent
from nas.results.verify import verify_run
from nas.search.search import search
from trials.executors.simulated import simulated
from trials.log.bucket_files import BucketFiles
from trials.log.disk_wait import LogNotWrittenError, Patience
from trials.log.row_types import TrialRow
from trials.log.run_places import run_folder
from trials.log.store import RunStore

SEED = 11
FEW, ALL = 5, 12  # trials
STOPS = {2, 74}  # exit codes: the store was away when it was opened, or later
STOPPING = ("away",)  # kinds of faults that may stop a search, which goes on by the same command
PATIENT = Patience(seconds=60, between=0.01)


@dataclass
class Bucket:
    """A bucket behind a proxy, with a new place for each search."""

    proxy: FaultProxy
    caches: Path
    numbers: Iterator[int]

    def search(self, url: str, trials: int, told: list[TrialRow], patience: Patience = PATIENT) -> None:
        """Searches to the end, on a machine that has never seen the run; the first one ends half-way."""
        ends_at = trials // 2 if not told else None

        def note(event: SearchEvent) -> None:
            if isinstance(event, RowWritten):
                told.append(event.row)
                if event.row["trial_id"] == ends_at:
                    raise LogNotWrittenError

        with self.another_machine():
            search(
                config_of("evolution", budget={"trials": trials}), run_folder(url), execute=simulated(),
                start=formula_worker, on_event=note,
                open_run=partial(RunStore, segment_size=4, patience=patience),
            )  # fmt: skip

    def recorded(self, url: str) -> Record:
        """All asks and rows in the bucket, after it was verified."""
        with self.another_machine():
            folder = run_folder(url)
            assert verify_run(folder).faults == ()
            with RunStore(folder, segment_size=4) as opened:
                return record_of(opened)

    def another_machine(self) -> Any:
        patch = pytest.MonkeyPatch.context()
        cache = self.caches / str(next(self.numbers))

        class Machine:
            def __enter__(self) -> None:
                patch.__enter__().setenv("XDG_CACHE_HOME", str(cache))

            def __exit__(self, *error: object) -> None:
                patch.__exit__(*error)  # type: ignore[arg-type]

        return Machine()


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    caches = tmp_path_factory.mktemp("caches")
    seconds = timedelta(seconds=1)
    quick = {"init_backoff": seconds / 1000, "max_backoff": seconds / 200, "base": 2}
    retries = {"max_retries": 2, "retry_timeout": 10 * seconds, "backoff": quick}
    with (
        serving(caches) as upstream,
        proxied(upstream) as (proxy, url),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("AWS_ENDPOINT_URL", url)
        patch.setattr("trials.log.object_store.RETRIES", retries)
        patch.setenv("AWS_TIMEOUT", TIMEOUT)
        patch.setattr("trials.log.bucket_files.PAUSES", (0.0, 0.0))
        # Views that are due by the clock would give each search another number of requests.
        patch.setattr(BucketFiles, "seconds_between_views", float("inf"))
        yield Bucket(proxy, caches, itertools.count())


@pytest.fixture(scope="module")
def whole(bucket: Bucket) -> Any:
    """The record of an undisturbed search of so many trials, and what each of its requests could have met."""
    known: dict[int, tuple[Record, list[tuple[str, ...]]]] = {}

    def of(trials: int) -> tuple[Record, list[tuple[str, ...]]]:
        if trials not in known:
            url = f"s3://bucket/runs/whole-{trials}"
            told = list[TrialRow]()
            bucket.proxy.begin([])
            with pytest.raises(LogNotWrittenError):
                bucket.search(url, trials, told)
            bucket.search(url, trials, told)
            concerned = list(bucket.proxy.concerned)
            known[trials] = bucket.recorded(url), concerned
        return known[trials]

    return of


def exception_of(action: Callable[[], None]) -> Exception | None:
    try:
        action()
    except Exception as error:
        return error
    return None


def survive(bucket: Bucket, trials: int, expected: Record, faults: Collection[Fault]) -> None:
    """A search that meets these faults; as often as it stops, the same command goes on on another machine.

    It stops half-way, and where the store is away; nothing else may stop it.
    """
    url, told = f"s3://bucket/runs/search-{next(bucket.numbers)}", list[TrialRow]()
    bucket.proxy.begin(faults)
    patience = Patience() if {fault.kind for fault in faults} == {"away"} else PATIENT
    for _ in range(2 + sum(fault.kind in STOPPING for fault in faults)):
        said = exception_of(partial(bucket.search, url, trials, told, patience))
        if said is None:
            break
        assert _exit_code(said) in STOPS, (faults, said)  # no traceback
        assert SECRET not in str(said)
    else:
        pytest.fail(f"it never ended: {faults}")
    assert not bucket.proxy.faults, "not met"
    bucket.proxy.begin([])
    record = bucket.recorded(url)
    assert record == expected, faults
    for row in told:  # acknowledged
        assert record[1][row["trial_id"]]["reward"] == row["reward"], faults


def faults_of(kind: str, concerned: Sequence[tuple[str, ...]], rng: random.Random) -> list[Fault]:
    """One or two faults of a kind, each at a request of an undisturbed search's first half that it concerns.

    A disturbed search numbers its requests otherwise, and some kinds concern a single one:
    each fault waits from behind the one that the kind concerned before.
    """
    numbers = [number for number, kinds in enumerate(concerned[: len(concerned) // 2]) if kind in kinds]
    behind = [0, *(number + 1 for number in numbers)]
    count = min(1 if kind in SLOW else 2, len(numbers))
    return [Fault(behind[place], kind) for place in rng.sample(range(len(numbers)), count)]


def test_requests_that_fail_in_a_search_cost_no_row_and_change_no_ask(bucket: Bucket, whole: Any) -> None:
    expected, concerned = whole(FEW)
    rng = random.Random(SEED)
    faults = [fault for kind in KINDS for fault in faults_of(kind, concerned, rng)]
    survive(bucket, FEW, expected, [fault for fault in faults if fault.kind not in STOPPING])
    survive(bucket, FEW, expected, [fault for fault in faults if fault.kind in STOPPING])


@pytest.mark.nightly
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("kind", KINDS)
def test_every_request_of_a_search_may_fail(kind: str, bucket: Bucket, whole: Any) -> None:
    expected, concerned = whole(ALL)
    numbers = [number for number, kinds in enumerate(concerned) if kind in kinds]
    for number in numbers:
        survive(bucket, ALL, expected, [Fault(number, kind)])
    print(f"\n{kind}: {len(numbers)} of {len(concerned)} requests")

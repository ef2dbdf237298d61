"""Two drivers at once: the older one stops, before it has written anything."""

from pathlib import Path
from typing import Any

import pytest
from folders import files_of
from recorded_rows import asked, fill, finished

from trials.log.driver_lock import DriverLock, RunLockedError
from trials.log.log_end import FencedError, LogEnd
from trials.log.parts import part_name
from trials.log.store import RunStore


def test_the_older_of_two_drivers_stops_before_it_writes_anything(tmp_path: Path) -> None:
    """Somebody removes the lock, and a second driver begins beside the first."""
    folder = tmp_path / "run"
    fill(folder)
    with RunStore(folder) as older:
        (folder / "lock").unlink()
        with RunStore(folder) as newer:
            assert newer.driver == older.driver + 1
            row = newer.record_trial(finished(newer.asks[3]))
            newer.refresh_views(force=True)
            before = files_of(folder)
            for write in (
                lambda: older.record_trial(finished(older.asks[3], reward=0.9)),
                lambda: older.record_ask(asked(5)),
                lambda: older.write_text("best.yaml", "mine"),
            ):
                with pytest.raises(FencedError, match=f"driver {newer.driver}:"):
                    write()
            older.refresh_views(force=True)
            assert files_of(folder) == before
            newer.record_ask(asked(5))
    with RunStore(folder) as store:
        assert store.trials[3] == row
        assert sorted(store.asks) == [0, 1, 2, 3, 4, 5]


def test_an_older_driver_is_stopped_though_all_parts_have_become_segments(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    fill(folder, trials=3, open_asks=1)
    with RunStore(folder, segment_size=2) as older:
        (folder / "lock").unlink()
        with RunStore(folder, segment_size=2) as newer:
            newer.record_trial(finished(newer.asks[3]))
        assert len(list((folder / "log" / "segments").iterdir())) == 4
        with pytest.raises(FencedError):
            older.record_trial(finished(older.asks[3], reward=0.9))
        with pytest.raises(FencedError):
            older.record_ask(asked(4))


def test_a_driver_that_begins_while_another_writes_reads_what_that_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between reading the log and claiming its end, the driver before it still writes a row."""
    folder = tmp_path / "run"
    fill(folder)
    with RunStore(folder) as older:
        (folder / "lock").unlink()
        claim = LogEnd.claim
        rows: list[Any] = []

        def late_claim(end: LogEnd, **at: int) -> bool:
            if not rows:
                rows.append(older.record_trial(finished(older.asks[4])))
            return claim(end, **at)

        monkeypatch.setattr(LogEnd, "claim", late_claim)
        with RunStore(folder) as newer:
            assert newer.trials[4] == rows[0]
        with pytest.raises(FencedError):
            older.record_trial(finished(older.asks[3]))


def test_a_position_that_was_taken_and_is_free_again_is_not_the_end_of_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between reading the log and claiming its end, the driver before it seals what it has written since."""
    folder = tmp_path / "run"
    fill(folder, trials=3, open_asks=1)
    with RunStore(folder, segment_size=2) as older:
        (folder / "lock").unlink()
        claim, claimed = LogEnd.claim, list[bool]()

        def late_claim(end: LogEnd, **at: int) -> bool:
            if not claimed:
                older.record_trial(finished(older.asks[3]))
                older.record_ask(asked(4))
                assert not (folder / "log" / "parts" / part_name(at["newest"] + 1)).exists()
            claimed.append(claim(end, **at))
            return claimed[-1]

        monkeypatch.setattr(LogEnd, "claim", late_claim)
        with RunStore(folder, segment_size=2) as newer:
            assert claimed == [False, True]
            assert (sorted(newer.trials), sorted(newer.asks)) == ([0, 1, 2, 3], [0, 1, 2, 3, 4])
            with pytest.raises(FencedError):
                older.record_trial(finished(older.asks[4], reward=0.9))
            row = newer.record_trial(finished(newer.asks[4]))
    with RunStore(folder) as store:
        assert store.trials[4] == row


def test_a_log_whose_last_file_is_gone_is_claimed_wherever_the_older_driver_may_write(tmp_path: Path) -> None:
    """The last part's trial is in a segment, so its position is known to have been taken."""
    folder = tmp_path / "run"
    fill(folder, trials=3, open_asks=1)
    with RunStore(folder, segment_size=2) as older:
        older.record_trial(finished(older.asks[3]))
        (folder / "lock").unlink()
        max((folder / "log" / "parts").iterdir()).unlink()
        with RunStore(folder, segment_size=2) as newer, pytest.raises(FencedError):
            older.record_ask(asked(4))
        newer_driver = newer.driver
    with RunStore(folder) as store:
        assert (store.driver, sorted(store.trials)) == (newer_driver + 1, [0, 1, 2, 3])


def test_a_lock_that_was_removed_and_made_again_is_the_one_that_counts(tmp_path: Path) -> None:
    """Who holds the file that lay there before holds nothing."""
    with DriverLock(tmp_path):
        (tmp_path / "lock").unlink()
        with DriverLock(tmp_path), pytest.raises(RunLockedError):
            DriverLock(tmp_path).__enter__()


def test_an_older_driver_that_never_began_removes_nothing_of_the_newer_ones_run(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with RunStore(folder) as older:
        (folder / "lock").unlink()
        fill(folder)
        older.discard()
    with RunStore(folder) as store:
        assert sorted(store.trials) == [0, 1, 2]

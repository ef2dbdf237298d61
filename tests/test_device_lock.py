"""Exclusive use of a device: real processes that share it, wait, die, and belong to somebody else."""

import os
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from trials import device_lock
from trials.device_lock import PLACES, DeviceLock, core_id
from trials.lock_files import NoLocksError, is_locked, try_lock

HERE = Path(__file__).parent
DEVICE = "the device"
FEW_SECONDS = 120.0  # more than enough, also on a busy machine


@dataclass(frozen=True)
class Holding:
    """One noted use of the device."""

    role: str
    process: int
    begin: float
    end: float

    def overlaps(self, other: "Holding") -> bool:
        return self.begin < other.end and other.begin < self.end


class Stage:
    """A folder of locks, the processes that play there, and their notes."""

    def __init__(self, folder: Path) -> None:
        self.locks = folder / "locks"
        self.notes = folder / "notes.txt"
        self.players: list[subprocess.Popen[str]] = []

    def play(self, role: str, *, times: int, seconds: float) -> subprocess.Popen[str]:
        arguments = [self.locks, role, times, seconds, self.notes]
        player = subprocess.Popen(
            [sys.executable, str(HERE / "lock_player.py"), *map(str, arguments)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(HERE.parent)},
        )
        self.players.append(player)
        return player

    def holdings(self) -> list[Holding]:
        lines = [line.split() for line in self.notes.read_text().splitlines()]
        return [Holding(role, int(process), float(b), float(e)) for role, process, b, e in lines]

    def all_end(self) -> None:
        for player in self.players:
            assert player.wait(FEW_SECONDS) == 0

    def lock(self, **settings: float) -> DeviceLock:
        return DeviceLock(DEVICE, folder=self.locks, **settings)  # type: ignore[arg-type]


def says(player: subprocess.Popen[str], word: str) -> None:
    """Waits for a player's next line, which is this word."""
    assert player.stdout is not None
    assert player.stdout.readline().strip() == word


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(tmp_path)
    yield stage
    for player in stage.players:
        if player.poll() is None:
            player.kill()
        player.wait()
        assert player.stdout is not None
        player.stdout.close()


@contextmanager
def in_thread(work: Callable[[], object]) -> Iterator[None]:
    thread = threading.Thread(target=work)
    thread.start()
    yield
    thread.join(FEW_SECONDS)
    assert not thread.is_alive()


def wait_until(is_true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + FEW_SECONDS
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_whoever_times_has_the_device_alone_and_trainers_share_it(stage: Stage) -> None:
    for _ in range(2):
        stage.play("training", times=40, seconds=0.01)
    for _ in range(3):
        stage.play("timing", times=4, seconds=0.02)
    stage.all_end()
    holdings = stage.holdings()
    assert len(holdings) == 2 * 40 + 3 * 4
    for timing in (h for h in holdings if h.role == "timing"):
        assert [h for h in holdings if h.overlaps(timing)] == [timing]


def test_trainers_run_beside_each_other(stage: Stage) -> None:
    first, second = stage.lock(), stage.lock()
    with first.training(), second.training():
        assert (first.role, second.role) == ("training", "training")
        assert first.give_way() == 0.0
    assert first.waited_seconds + second.waited_seconds < 1.0


def test_more_waiters_than_places_all_get_their_turn(stage: Stage) -> None:
    with stage.lock().timing():
        players = [stage.play("timing", times=1, seconds=0.01) for _ in range(PLACES + 2)]
        players += [stage.play("training", times=3, seconds=0.01) for _ in range(2)]
        for player in players:
            says(player, "ready")
    stage.all_end()
    timings = [h for h in stage.holdings() if h.role == "timing"]
    assert len({h.process for h in timings}) == PLACES + 2
    assert not any(a.overlaps(b) for a in timings for b in timings if a is not b)


def test_a_killed_holder_lets_go(stage: Stage) -> None:
    for role in ("timing", "training"):
        player = stage.play(role, times=1, seconds=60)
        says(player, "ready")
        says(player, "held")
        assert player.poll() is None
        with in_thread(lambda player=player: (time.sleep(0.1), player.kill())):  # type: ignore[misc]
            before = time.monotonic()
            with stage.lock().timing() as waited:
                assert 0.05 < waited <= time.monotonic() - before < FEW_SECONDS


def test_a_killed_waiter_leaves_the_queue(stage: Stage) -> None:
    lock, behind = stage.lock(), stage.lock()
    with lock.timing():
        waiting = stage.play("timing", times=1, seconds=0)
        says(waiting, "ready")
        wait_until(lambda: is_taken(stage, "place0"))
        queue = behind.queue("timing")
        next(queue)  # it stands behind the other one
        assert is_taken(stage, "place1")
        waiting.send_signal(signal.SIGKILL)
        waiting.wait()
        stage.players.remove(waiting)
        assert waiting.stdout is not None
        waiting.stdout.close()
        next(queue)
        assert not is_taken(stage, "place1")
    assert list(queue) == []
    assert behind.is_exclusive
    behind.release()


def is_taken(stage: Stage, place: str) -> bool:
    """Whether somebody stands there."""
    (file,) = stage.locks.glob(f"*.{place}")
    descriptor = os.open(file, os.O_RDWR)
    try:
        return is_locked(descriptor)
    finally:
        os.close(descriptor)


def test_timers_do_not_starve_while_trainers_take_the_device_again_and_again(stage: Stage) -> None:
    trainers = [stage.play("training", times=1_000_000, seconds=0.0005) for _ in range(4)]
    for trainer in trainers:
        says(trainer, "ready")
        says(trainer, "held")
    lock = stage.lock()
    for _ in range(3):
        with lock.timing():
            assert lock.is_exclusive
    for trainer in trainers:
        assert trainer.poll() is None
    assert lock.waited_seconds < FEW_SECONDS


def test_trainers_do_not_starve_while_timers_take_the_device_again_and_again(stage: Stage) -> None:
    timers = [stage.play("timing", times=1_000_000, seconds=0.002) for _ in range(2)]
    for timer in timers:
        says(timer, "ready")
        says(timer, "held")
    with stage.lock().training() as turn:
        for _ in range(3):
            wait_until(lambda: turn.give_way() > 0)
    assert turn.waited_seconds < FEW_SECONDS


def test_who_comes_first_times_first(stage: Stage) -> None:
    with stage.lock().timing():
        waiting = []
        for i in range(4):
            waiting.append(stage.play("timing", times=1, seconds=0.01))
            says(waiting[-1], "ready")
            wait_until(lambda i=i: is_taken(stage, f"place{i}"))  # type: ignore[misc]
    stage.all_end()
    in_order = sorted(stage.holdings(), key=lambda h: h.begin)
    assert [h.process for h in in_order] == [player.pid for player in waiting]


def test_a_trainer_gives_way_only_when_somebody_waits_and_finishes_its_work_first(stage: Stage) -> None:
    finished: list[str] = []
    trainer = DeviceLock(DEVICE, folder=stage.locks, synchronise=lambda: finished.append("work"))
    timer = stage.lock()

    def time_once() -> None:
        with timer.timing():
            finished.append("timing")

    with trainer.training() as turn:
        assert turn.give_way() == 0.0
        assert finished == []
        with in_thread(time_once):
            wait_until(lambda: turn.give_way() > 0)
            assert finished == ["work", "timing"]
            assert turn.role == "training"
    assert finished == ["work", "timing", "work"]


def test_timing_inside_training_interrupts_it(stage: Stage) -> None:
    lock, other = stage.lock(), stage.lock()
    with lock.training():
        with lock.timing(), lock.timing() as waited:  # timing inside timing is nothing new
            assert waited == 0.0
            assert lock.is_exclusive
        assert lock.role == "training"
        with other.training():
            pass
    assert lock.role is None


def test_waiting_is_told_while_it_lasts_and_counted(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_lock, "SECONDS_BETWEEN_BEATS", 0.02)
    told: list[float] = []
    with stage.lock().timing():
        waiting = stage.lock()
        queue = waiting.queue("training")
        assert next(queue) > 0
        queue.close()  # it leaves the queue
        assert waiting.role is None
        wait_until(lambda: not is_taken(stage, "place0"))
        player = stage.play("timing", times=1, seconds=0.2)
        says(player, "ready")
        wait_until(lambda: is_taken(stage, "place0"))
    with waiting.training(told.append):
        assert told == sorted(told)
        assert len(told) >= 2
    assert waiting.waited_seconds > told[-1]


def test_a_callback_that_raises_leaves_the_queue(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_lock, "SECONDS_BETWEEN_BEATS", 0.01)

    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    waiting = stage.lock()
    with stage.lock().timing():
        with pytest.raises(KeyboardInterrupt), waiting.timing(interrupt):
            pass
        assert not is_taken(stage, "place0")
    assert waiting.role is None


def test_a_holder_that_hangs_stops_nobody_for_ever(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_lock, "_warned", set())
    impatient = stage.lock(patience_seconds=0.1)
    with stage.lock().timing():
        with pytest.warns(RuntimeWarning, match="somebody holds"), impatient.timing():
            assert not impatient.is_exclusive
        with warnings.catch_warnings(), impatient.training() as turn:  # said once is enough
            assert turn.give_way() == 0.0


def test_devices_do_not_exclude_each_other(tmp_path: Path) -> None:
    first, second = (DeviceLock(core_id(core), folder=tmp_path / "locks") for core in (0, 1))
    with first.timing(), second.timing():
        assert first.is_exclusive
        assert second.is_exclusive


def test_without_a_device_nothing_is_excluded(tmp_path: Path) -> None:
    lock = DeviceLock(None, folder=tmp_path / "locks")
    with lock.timing():
        assert not lock.is_exclusive
    with lock.training() as turn:
        assert turn.give_way() == 0.0
    assert not (tmp_path / "locks").exists()


@pytest.mark.parametrize("obstacle", ["no folder", "linked folder", "linked file", "pipe"])
def test_where_there_are_no_locks_that_is_said_once_and_timing_goes_on(
    tmp_path: Path, obstacle: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_lock, "_warned", set())
    folder, elsewhere = tmp_path / "locks", tmp_path / "elsewhere"
    elsewhere.mkdir()
    if obstacle == "no folder":
        folder.write_text("in the way")
    elif obstacle == "linked folder":
        folder.symlink_to(elsewhere)
    else:
        with DeviceLock(DEVICE, folder=folder).timing():
            pass
        (file,) = folder.glob("*.place0")
        file.unlink()
        if obstacle == "pipe":
            os.mkfifo(file)
        else:
            file.symlink_to(elsewhere / "target")
    lock = DeviceLock(DEVICE, folder=folder)
    with pytest.warns(RuntimeWarning, match=str(folder)), lock.timing():
        assert not lock.is_exclusive
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with lock.timing(), DeviceLock(DEVICE, folder=folder).timing():
            pass
    assert list(elsewhere.iterdir()) == []


def test_locks_are_for_everyone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        with DeviceLock(DEVICE, folder=tmp_path / "locks").timing():
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "locks").stat().st_mode) == 0o1777
    files = list((tmp_path / "locks").iterdir())
    assert len(files) == PLACES + 1
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o666}


def test_a_file_that_may_only_be_read_excludes_too(stage: Stage) -> None:
    with stage.lock().timing():
        pass
    for file in stage.locks.iterdir():
        file.chmod(0o444)
    with stage.lock().timing():
        assert try_lock(next(stage.locks.glob("*.device")), shared=True) is None


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root acts for another user")
@pytest.mark.parametrize("mode", [0o666, 0o644])
def test_another_user_s_files_exclude_too(mode: int) -> None:
    code = (
        "import os, sys; from pathlib import Path; from trials.lock_files import try_lock\n"
        "os.setgroups([]), os.setgid(65534), os.setuid(65534)\n"
        "print(try_lock(Path(sys.argv[1]), shared=False) is not None)"
    )

    def nobody_gets(file: Path) -> bool:
        done = subprocess.run(
            [sys.executable, "-c", code, str(file)],
            env={"PYTHONPATH": str(HERE.parent)},
            capture_output=True,
            text=True,
        )
        assert not done.stderr
        return done.stdout.strip() == "True"

    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        locks = Path(name) / "locks"
        with DeviceLock(DEVICE, folder=locks).timing():
            (file,) = locks.glob("*.device")
            file.chmod(mode)
            assert not nobody_gets(file)
        assert nobody_gets(file)
        assert nobody_gets(locks / "a file of nobody's")
        descriptor = try_lock(locks / "a file of nobody's", shared=False)
        assert descriptor is not None
        os.close(descriptor)


def test_files_in_use_are_not_taken_for_old_ones(tmp_path: Path) -> None:
    lock = DeviceLock(DEVICE, folder=tmp_path / "locks")
    with lock.timing():
        pass
    for file in (tmp_path / "locks").iterdir():
        os.utime(file, (0, 0))
    with lock.training():
        pass
    assert all(file.stat().st_mtime > 0 for file in (tmp_path / "locks").iterdir())


def test_a_file_that_was_removed_excludes_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "locks" / "file"
    held = try_lock(file, shared=False)
    assert held is not None
    file.unlink()
    other = try_lock(file, shared=False)  # another file of that name
    assert other is not None
    os.close(held)
    os.close(other)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_does_not_hold_on_to_its_parent_s_lock(stage: Stage) -> None:
    code = (
        "import os, sys, time; from pathlib import Path; from trials.device_lock import DeviceLock\n"
        f"lock = DeviceLock({DEVICE!r}, folder=Path(sys.argv[1]))\n"
        "with lock.timing():\n"
        "    child = os.fork()\n"
        "    if child == 0:\n"
        "        assert lock.role is None\n"
        "        time.sleep(60)\n"
        "    print(child, flush=True)\n"
        "    time.sleep(60)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(stage.locks)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(HERE.parent)},
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    try:
        parent.kill()
        parent.wait()
        with stage.lock(patience_seconds=FEW_SECONDS).timing():
            os.kill(child, 0)  # it lives
            assert is_taken(stage, "device")
    finally:
        os.kill(child, signal.SIGKILL)
        parent.stdout.close()


def test_no_locks_at_all_is_an_error_of_one_kind(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NoLocksError, match="no folder"):
        try_lock(tmp_path / "file" / "lock", shared=True)

"""Exclusive use of a device: real processes that share it, wait, die, and belong to somebody else."""

import signal
import subprocess
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from lock_stage import DEVICE, HANGS, Stage, is_taken
from lock_stage import stage as stage  # a fixture

from trials.devices import device_lock
from trials.devices.device_lock import PLACES, DeviceLock
from trials.devices.sharing import give_way, training


def says(player: subprocess.Popen[str], word: str) -> None:
    """Waits for a player's next line, which is this word."""
    assert player.stdout is not None
    assert player.stdout.readline().strip() == word


@contextmanager
def in_thread(work: Callable[[], object]) -> Iterator[None]:
    thread = threading.Thread(target=work)
    thread.start()
    yield
    thread.join(HANGS)
    assert not thread.is_alive()


def wait_until(is_true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + HANGS
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_timers_have_the_device_alone_and_trainers_share_it(stage: Stage) -> None:
    for _ in range(2):
        stage.play("training", times=40, seconds=0.01)
    for _ in range(3):
        stage.play("timing", times=4, seconds=0.02)
    stage.all_end()
    holdings = stage.holdings()
    assert len(holdings) == 2 * 40 + 3 * 4
    for timing in (h for h in holdings if h.role == "timing"):
        assert [h for h in holdings if h.overlaps(timing)] == [timing]


def test_trainers_share_the_device_without_waiting(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_lock, "SECONDS_BETWEEN_HEARTBEATS", -1.0)
    told: list[float] = []
    first, second = stage.lock(), stage.lock()
    with training(first, told.append), training(second, told.append):
        assert (first.role, second.role) == ("training", "training")
        assert give_way(first) == 0.0
    assert told == []  # nobody had to wait


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


def test_device_of_a_killed_holder_is_free(stage: Stage) -> None:
    for role in ("timing", "training"):
        player = stage.play(role, times=1, seconds=10 * HANGS)
        says(player, "ready")
        says(player, "held")

        def kill_when_somebody_waits(player: subprocess.Popen[str] = player) -> None:
            wait_until(lambda: is_taken(stage, "place0"))
            assert player.poll() is None
            player.kill()

        with in_thread(kill_when_somebody_waits):
            before = time.monotonic()
            with stage.lock().timing() as waited:
                assert 0 < waited <= time.monotonic() - before


def test_killed_waiter_leaves_the_queue_for_the_device(stage: Stage) -> None:
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


def test_trainers_do_not_starve_while_timers_take_the_device_again_and_again(stage: Stage) -> None:
    timers = [stage.play("timing", times=1_000_000, seconds=0.002) for _ in range(2)]
    for timer in timers:
        says(timer, "ready")
        says(timer, "held")
    with training(stage.lock()) as turn:
        for _ in range(3):
            wait_until(lambda: give_way(turn) > 0)


def test_timers_get_the_device_in_the_order_of_their_coming(stage: Stage) -> None:
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

    with training(trainer) as turn:
        assert give_way(turn) == 0.0
        assert finished == []
        with in_thread(time_once):
            wait_until(lambda: give_way(turn) > 0)
            assert finished == ["work", "timing"]
            assert turn.role == "training"
    assert finished == ["work", "timing", "work"]


def test_timing_inside_timing_is_nothing_new(stage: Stage) -> None:
    lock = stage.lock()
    with lock.timing(), lock.timing() as waited:
        assert waited == 0.0
        assert lock.is_exclusive
    assert lock.role is None


def test_waiting_for_a_device_is_told_while_it_lasts_and_counted(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_lock, "SECONDS_BETWEEN_HEARTBEATS", 0.02)
    holder, waiting = stage.lock(), stage.lock()
    told: list[float] = []

    def let_go_at_the_third(seconds: float) -> None:
        told.append(seconds)
        if len(told) == 3:
            holder.release()

    assert list(holder.queue("timing")) == []
    queue = waiting.queue("training")
    assert next(queue) > 0
    queue.close()  # it leaves the queue
    assert waiting.role is None
    assert not is_taken(stage, "place0")
    with training(waiting, let_go_at_the_third):
        assert told == sorted(told)
        assert len(told) == 3
    assert waiting.waited_seconds > told[-1]


def test_waiter_whose_callback_raises_leaves_the_queue(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_lock, "SECONDS_BETWEEN_HEARTBEATS", 0.01)

    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    waiting = stage.lock()
    with stage.lock().timing():
        with pytest.raises(KeyboardInterrupt), waiting.timing(interrupt):
            pass
        assert not is_taken(stage, "place0")
    assert waiting.role is None


def test_waiters_give_up_on_a_holder_that_hangs_and_warn_once(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_lock, "_warned", set())
    impatient = stage.lock(patience_seconds=0.1)
    with stage.lock().timing():
        with pytest.warns(RuntimeWarning, match="somebody holds"), impatient.timing():
            assert not impatient.is_exclusive
        with warnings.catch_warnings(), training(impatient) as turn:  # said once is enough
            assert give_way(turn) == 0.0

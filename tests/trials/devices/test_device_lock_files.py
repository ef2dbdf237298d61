"""The files of device locks: whose they are, what stands in their way, and processes that fork."""

import os
import signal
import stat
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import pytest
from lock_stage import DEVICE, HANGS, Stage, is_taken
from lock_stage import stage as stage  # a fixture
from places import REPOSITORY

from trials.devices import device_lock
from trials.devices.device_lock import PLACES, DeviceLock, core_id
from trials.devices.lock_files import NoLocksError, try_lock
from trials.devices.sharing import give_way, training


def test_locks_of_two_devices_do_not_exclude_each_other(tmp_path: Path) -> None:
    first, second = (DeviceLock(core_id(core), folder=tmp_path / "locks") for core in (0, 1))
    with first.timing(), second.timing():
        assert first.is_exclusive
        assert second.is_exclusive


def test_lock_without_a_device_excludes_nobody(tmp_path: Path) -> None:
    lock = DeviceLock(None, folder=tmp_path / "locks")
    with lock.timing():
        assert not lock.is_exclusive
    with training(lock) as turn:
        assert give_way(turn) == 0.0
    assert not (tmp_path / "locks").exists()


@pytest.mark.parametrize("obstacle", ["no folder", "linked folder", "linked file", "pipe"])
def test_unusable_lock_folder_is_warned_of_once_and_timing_goes_on(
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


def test_lock_files_are_open_to_everyone_whatever_the_umask(tmp_path: Path) -> None:
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


def test_read_only_lock_files_exclude_too(stage: Stage) -> None:
    with stage.lock().timing():
        pass
    for file in stage.locks.iterdir():
        file.chmod(0o444)
    with stage.lock().timing():
        assert try_lock(next(stage.locks.glob("*.device")), shared=True) is None


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root acts for another user")
@pytest.mark.parametrize("mode", [0o666, 0o644])
def test_lock_files_of_another_user_exclude_too(mode: int) -> None:
    code = (
        "import os, sys; from pathlib import Path; from trials.devices.lock_files import try_lock\n"
        "os.setgroups([]), os.setgid(65534), os.setuid(65534)\n"
        "print(try_lock(Path(sys.argv[1]), shared=False) is not None)"
    )

    def nobody_gets(file: Path) -> bool:
        done = subprocess.run(
            [sys.executable, "-c", code, str(file)],
            env={"PYTHONPATH": str(REPOSITORY)},
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


def test_lock_files_in_use_are_touched_so_that_none_looks_old(tmp_path: Path) -> None:
    lock = DeviceLock(DEVICE, folder=tmp_path / "locks")
    with lock.timing():
        pass
    files = sorted((tmp_path / "locks").iterdir())
    assert files
    for file in files:
        os.utime(file, (0, 0))
    with training(lock):
        pass
    assert [file for file in files if file.stat().st_mtime == 0] == []


def test_removed_lock_file_excludes_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
        "import os, sys, time; from pathlib import Path; from trials.devices.device_lock import DeviceLock\n"
        f"lock = DeviceLock({DEVICE!r}, folder=Path(sys.argv[1]))\n"
        "with lock.timing():\n"
        "    child = os.fork()\n"
        "    if child == 0:\n"
        "        assert lock.role is None\n"
        "        time.sleep(3600)\n"
        "    print(child, flush=True)\n"
        "    time.sleep(3600)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(stage.locks)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    try:
        parent.kill()
        parent.wait()
        with stage.lock(patience_seconds=HANGS).timing():
            os.kill(child, 0)  # it lives
            assert is_taken(stage, "device")
    finally:
        os.kill(child, signal.SIGKILL)
        parent.stdout.close()


def test_path_where_no_lock_can_be_is_a_no_locks_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NoLocksError, match="no folder"):
        try_lock(tmp_path / "file" / "lock", shared=True)

"""The guard of a local Ray and the file of its token: nothing outlives the driver, nobody else reads it."""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from trials.executors.ray_guard import MARK, end_processes_of, processes_of, start_guard
from trials.executors.ray_token import keep_token_private

needs_proc = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="without /proc")
LONG = 60.0


@pytest.fixture
def marked(tmp_path: Path) -> Iterator[tuple["subprocess.Popen[bytes]", ...]]:
    """Two processes, of the Rays in the folders `own` and `other`."""
    processes = []
    for name in ("own", "other"):
        (tmp_path / name / "session").mkdir(parents=True)
        environment = {**os.environ, MARK: str(tmp_path / name)}
        waits = [sys.executable, "-c", "print('there', flush=True); import time; time.sleep(3600)"]
        processes.append(subprocess.Popen(waits, env=environment, stdout=subprocess.PIPE))
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == b"there\n"
    yield tuple(processes)
    for process in processes:
        process.kill()
        process.wait()


@needs_proc
def test_processes_of_one_ray_are_found_and_ended_and_others_left(
    tmp_path: Path, marked: tuple["subprocess.Popen[bytes]", ...]
) -> None:
    own, other = marked
    assert processes_of(tmp_path / "own") == [own.pid]
    end_processes_of(tmp_path / "own")
    assert own.wait(LONG) == -9
    assert other.poll() is None


@needs_proc
def test_guard_ends_the_ray_of_a_driver_that_was_killed(
    tmp_path: Path, marked: tuple["subprocess.Popen[bytes]", ...]
) -> None:
    own, other = marked
    drives = (
        "import os, sys; from pathlib import Path; from trials.executors.ray_guard import start_guard\n"
        "start_guard(Path(sys.argv[1])); os.kill(os.getpid(), 9)"
    )
    driver = subprocess.run([sys.executable, "-c", drives, str(tmp_path / "own")], check=False)
    assert driver.returncode == -9
    assert own.wait(LONG) == -9
    assert other.poll() is None


@needs_proc
def test_guard_removes_the_files_and_ends_when_it_is_told(
    tmp_path: Path, marked: tuple["subprocess.Popen[bytes]", ...]
) -> None:
    guard = start_guard(tmp_path / "own")
    assert guard.stdin is not None
    guard.stdin.close()
    assert guard.wait(LONG) == 0
    assert not (tmp_path / "own").exists()
    assert (tmp_path / "other" / "session").exists()


# ---------------------------------------------------------------------- the token


@pytest.fixture
def token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / ".ray" / "auth_token"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_token_is_made_for_its_owner_alone(token: Path, tmp_path: Path) -> None:
    keep_token_private(tmp_path)
    assert (mode(token.parent), mode(token)) == (0o700, 0o600)
    assert len(bytes.fromhex(token.read_text())) == 32
    assert os.listdir(token.parent) == ["auth_token"]


def test_token_that_everybody_may_read_is_kept_and_made_private(token: Path, tmp_path: Path) -> None:
    token.parent.mkdir()
    token.write_text("secret")
    token.chmod(0o644)
    keep_token_private(tmp_path)
    assert (mode(token), token.read_text()) == (0o600, "secret")


@pytest.mark.parametrize(
    ("name", "value"),
    [("RAY_AUTH_MODE", "disabled"), ("RAY_AUTH_TOKEN", "own"), ("RAY_AUTH_TOKEN_PATH", "/own")],
)
def test_who_has_a_token_elsewhere_or_wants_none_gets_no_file(
    name: str, value: str, token: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    keep_token_private(tmp_path)
    assert not token.exists()


def test_home_that_cannot_be_written_is_left_to_ray(token: Path, tmp_path: Path) -> None:
    (tmp_path / ".ray").write_text("no folder")
    keep_token_private(tmp_path)

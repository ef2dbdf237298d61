"""Servers of a local Ray that end while it starts: they are noticed, and a gcs_server is stood in for."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from trials.executors.ray_guard import MARK, end_processes_of, processes_of
from trials.executors.ray_start import StartWatch

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="there is no /proc")
PATIENCE = 60.0
STAND_IN = """#!/bin/sh
for each in "$@"; do echo "$each"; done > {said}.new
mv {said}.new {said}
"""


@contextmanager
def server(
    name: str, folder: Path, *arguments: str, code: str = "import time; time.sleep(600)"
) -> Iterator["subprocess.Popen[bytes]"]:
    """A process of that name that does nothing, and belongs to the Ray whose files are in the folder."""
    command = [str(folder / name), "-c", code, *arguments]
    process = subprocess.Popen(command, executable=sys.executable, env={**os.environ, MARK: str(folder)})
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def until(is_so: Callable[[], object]) -> None:
    """Waits until a condition holds."""
    end = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.02)


def kill_known(watch: StartWatch, process: "subprocess.Popen[bytes]") -> None:
    """Kills a server once the watch has seen it."""
    until(lambda: process.pid in watch.known)
    process.kill()


def test_a_raylet_that_is_killed_is_named_and_an_agent_is_not(tmp_path: Path) -> None:
    with server("raylet", tmp_path) as raylet, server("agent", tmp_path) as agent:
        with StartWatch(tmp_path) as watch:
            until(lambda: raylet.pid in watch.known)
            agent.kill()
        assert watch.ended == ""
        with StartWatch(tmp_path) as watch:
            kill_known(watch, raylet)
            until(lambda: watch.ended)
        assert watch.ended == "its raylet ended while it started"


def test_a_child_that_bears_the_name_of_its_raylet_for_a_moment_is_no_server(tmp_path: Path) -> None:
    """A raylet starts workers by splitting in two; the half that becomes a worker is called raylet before."""
    split = (
        "import os, time; os.fork() or (time.sleep(1), os.execlp('sleep', 'sleep', '600')); time.sleep(600)"
    )
    with StartWatch(tmp_path) as watch, server("raylet", tmp_path, code=split) as raylet:
        until(lambda: raylet.pid in watch.known)
        until(lambda: len(processes_of(tmp_path)) == 2)
        until(
            lambda: any(Path(f"/proc/{pid}/comm").read_text() == "sleep\n" for pid in processes_of(tmp_path))
        )
        time.sleep(0.5)  # several looks of the watch
        assert (list(watch.known), watch.ended) == ([raylet.pid], "")
    end_processes_of(tmp_path)


def test_another_gcs_server_is_started_at_the_port_of_one_that_was_killed(tmp_path: Path) -> None:
    said = tmp_path / "said"
    (tmp_path / "gcs_server").write_text(STAND_IN.format(said=said))
    (tmp_path / "gcs_server").chmod(0o700)
    (tmp_path / "gcs_server_port_abc").write_text("6379")
    arguments = ("--gcs_server_port=0", f"--session-dir={tmp_path}", "--node-id=abc", "--log_dir=logs")
    with server("gcs_server", tmp_path, *arguments) as gcs, StartWatch(tmp_path) as watch:
        kill_known(watch, gcs)
        until(said.exists)
    assert watch.ended == "its gcs_server ended while it started"
    assert said.read_text().splitlines()[-4:] == ["--gcs_server_port=6379", *arguments[1:]]


def test_a_gcs_server_that_had_no_port_yet_is_named(tmp_path: Path) -> None:
    arguments = (f"--session-dir={tmp_path}", "--node-id=abc")
    with server("gcs_server", tmp_path, *arguments) as gcs, StartWatch(tmp_path) as watch:
        kill_known(watch, gcs)
        until(lambda: watch.ended)
    assert watch.ended == "its gcs_server ended while it started"

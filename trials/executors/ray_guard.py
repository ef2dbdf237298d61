"""Ends what is left of a local Ray; run as a process, it does so once its driver is gone.

Of a killed driver's Ray the servers end with it, and workers soon after, but Ray's agents stay for a minute,
and the folder of its files for ever. This file runs by itself (`python -I -S ray_guard.py FOLDER`) and
imports nothing but the standard library, so that a guard takes 10 MB and starts at once.
"""

import os
import select
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

MARK = "NAS_LOCAL_RAY"  # variable that all processes of a local Ray inherit: the folder of its files
SECONDS_BETWEEN_LOOKS = 2.0  # whether the driver is still the parent; its pipe usually ends at once
END_SECONDS = 5.0  # for which processes are killed again and again, as long as new ones turn up


def start_guard(folder: Path) -> "subprocess.Popen[bytes]":
    """A guard of the Ray whose files are in `folder`; it acts when this process ends or closes its input."""
    return subprocess.Popen(
        [sys.executable, "-I", "-S", __file__, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # must not receive the terminal's Ctrl-C
    )


def processes_of(folder: Path) -> list[int]:
    """Live processes of the local Ray whose files are in `folder`; none where there is no /proc."""
    mark = os.fsencode(f"{MARK}={folder}")
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
    return found


def kill_process(pid: int) -> None:
    """Kills a process of this host, which may no longer react to anything else."""
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)


def end_processes_of(folder: Path) -> None:
    """Kills all processes of the local Ray whose files are in `folder`, also those that are being started."""
    until = time.monotonic() + END_SECONDS
    while (left := processes_of(folder)) and time.monotonic() < until:
        for pid in left:
            kill_process(pid)
        time.sleep(0.05)


def _guard(folder: Path) -> None:
    """Waits until the driver is gone, and ends its Ray."""
    driver = os.getppid()
    while os.getppid() == driver:
        readable, _, _ = select.select([sys.stdin], [], [], SECONDS_BETWEEN_LOOKS)
        if readable:  # the other end is closed: nothing is ever written
            break
    end_processes_of(folder)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    _guard(Path(sys.argv[1]))

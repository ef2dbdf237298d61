"""A process that holds a device again and again, and notes when: started by test_device_lock.py.

    python lock_player.py FOLDER ROLE TIMES SECONDS NOTES

ROLE is training or timing. A trainer works in steps of SECONDS and gives way between them, TIMES steps in
all; a timer times TIMES times. Each line of NOTES is one holding: role, process, begin and end.
"""

import os
import sys
import time
from pathlib import Path

from trials.device_lock import DeviceLock


def note(file: Path, role: str, begin: float) -> None:
    """Appends one line, whole."""
    with file.open("a") as notes:
        notes.write(f"{role} {os.getpid()} {begin} {time.monotonic()}\n")


def main() -> None:
    """Plays one role."""
    folder, role, times, seconds, file = sys.argv[1:]
    lock = DeviceLock("the device", folder=Path(folder))
    print("ready", flush=True)
    if role == "timing":
        for _ in range(int(times)):
            with lock.timing():
                begin = time.monotonic()
                print("held", flush=True)
                time.sleep(float(seconds))
                note(Path(file), role, begin)
        return
    with lock.training() as turn:
        for _ in range(int(times)):
            begin = time.monotonic()
            print("held", flush=True)
            while time.monotonic() - begin < float(seconds):
                pass
            note(Path(file), role, begin)
            turn.give_way()


if __name__ == "__main__":
    main()

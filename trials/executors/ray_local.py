"""A Ray of this machine that a search starts itself: started, watched, started again, ended as a whole."""

import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from search_spaces.settings.sentences import first_line
from trials.executors.ray_folder import PREFIX, ray_folder
from trials.executors.ray_guard import MARK, end_processes_of, start_guard
from trials.executors.ray_start import SERVERS, StartWatch
from trials.executors.ray_token import keep_token_private

# In a row, with no trial that ended in between, after which Ray is not started again. Each of them was a lost
# worker for the trials in flight: after one more they would be given up, though nothing is wrong with them.
FRUITLESS_DEATHS = 3
SEEN_SECONDS = 0.5  # from a lost connection until the process behind it counts as ended
GUARD_SECONDS = 5.0
# Nobody reads the list of tasks, and a driver whose gcs_server is dead would wait to send it. When its
# gcs_server has been dead for so long (a minute by default), Ray ends the driver itself, even one that waits
# for a disk. And Ray's agents are to notice the death of a raylet later than the search, which ends them:
# they would print the last words of its log on the screen.
CONFIG = {
    "task_events_report_interval_ms": 0,
    "gcs_rpc_server_reconnect_timeout_s": 900,
    "enable_pipe_based_agent_to_parent_health_check": False,
}


class RayLostError(RuntimeError):
    """The local Ray does not start, or has died again and again."""


class ServerEndedError(RayLostError):
    """A server of the local Ray has ended while it started."""


class LocalRay:
    """A local Ray for so many workers on so many GPUs; `begin` before use, `end` in any case.

    Raises:
        LongFolderError: no folder is short enough for its sockets.
    """

    def __init__(self, *, workers: int, gpus: int) -> None:
        self._workers, self._gpus = workers, gpus
        self._place, _ = ray_folder()
        self._folder: Path | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._deaths = 0  # since a trial ended

    def begin(self) -> list[str]:
        """Starts it for the first time. A server that is killed meanwhile is a death; returns the reasons.

        Raises:
            RayLostError: it does not start, or the same was tried too often.
        """
        reasons: list[str] = []
        while True:
            try:
                self.start()
                return reasons
            except ServerEndedError as error:
                reasons.append(first_line(error))
                self.died(reasons[-1])

    def start(self) -> None:
        """Starts it.

        Raises:
            ServerEndedError: one of its servers has ended meanwhile.
            RayLostError: it does not start.
        """
        import ray

        keep_token_private()
        if self._folder is None:
            # One for all its lives: Ray's client, in this process, goes on writing into that of the first.
            self._folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=self._place))
            self._guard = start_guard(self._folder)
        os.environ[MARK] = str(self._folder)
        watch = StartWatch(self._folder)
        try:
            with _own_signals(), watch:
                ray.init(
                    address="local",  # a new one, never another user's Ray that happens to run here
                    num_cpus=self._workers,
                    num_gpus=self._gpus,  # devices, not workers: no more than CUDA_VISIBLE_DEVICES names
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level="error",
                    _temp_dir=str(self._folder),
                    _system_config=CONFIG,
                )
        except Exception as error:  # Ray's own kinds, which differ between its versions
            self._stop()
            if watch.ended:
                raise ServerEndedError(watch.ended) from error
            raise RayLostError(f"the local Ray does not start: {first_line(error)}") from error
        finally:
            os.environ.pop(MARK, None)
        if watch.ended:
            self._stop()
            raise ServerEndedError(watch.ended)

    def death(self, *, within: float = 0.0) -> str | None:
        """The server that has ended, and how; None if all run, also `within` seconds from now."""
        until = time.monotonic() + within
        while True:
            for name, code in _ended_servers():
                if name in SERVERS:
                    how = (
                        f"was killed ({signal.Signals(-code).name})"
                        if code < 0
                        else f"ended with code {code}"
                    )
                    return f"its {name} {how}"
            if time.monotonic() >= until:
                return None
            time.sleep(0.05)

    def check(self) -> None:
        """Checks that it lives, for those that cannot go on without it.

        Raises:
            RayLostError: it has died.
        """
        if reason := self.death():
            raise RayLostError(f"the local Ray has died: {reason}")

    def trial_ended(self) -> None:
        """A trial has ended on it, so that it has been of use: its deaths count anew."""
        self._deaths = 0

    def died(self, reason: str) -> None:
        """Ends what is left of it after a death.

        Raises:
            RayLostError: this was the last of FRUITLESS_DEATHS.
        """
        self._deaths += 1
        self._stop()
        if self._deaths >= FRUITLESS_DEATHS:
            raise RayLostError(
                f"the local Ray died {self._deaths} times without a trial that ended in between, the last "
                f"time: {reason}. If the kernel's log (dmesg) says that memory ran out, use fewer workers"
            )

    def start_again(self) -> None:
        """Starts it after a death; a failure counts as another death.

        Raises:
            RayLostError: the same was tried too often.
        """
        while True:
            try:
                return self.start()
            except RayLostError as error:
                self.died(f"it did not start again ({error})")

    def end(self) -> None:
        """Ends it with all its processes, and removes its files."""
        self._stop()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        if self._guard is not None and self._guard.stdin is not None:
            self._guard.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                self._guard.wait(GUARD_SECONDS)
        self._folder = self._guard = None

    def _stop(self) -> None:
        """Ends its processes."""
        import ray

        if self._folder is None:
            return
        # A Ray that is whole ends in order. Of one that is dead whatever is left is killed first: the driver
        # would wait seconds for answers.
        if self.death():
            end_processes_of(self._folder)
        if _node() is not None:
            with suppress(Exception):
                ray.shutdown()
        end_processes_of(self._folder)
        for session in self._folder.iterdir():
            shutil.rmtree(session, ignore_errors=True)


@contextmanager
def _own_signals() -> Iterator[None]:
    """Restores the handler of SIGTERM after the block: Ray replaces it when it starts."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def _node() -> Any:
    """Ray's own record of the processes that it has started here; None if it has not."""
    from ray._private import worker

    return worker._global_node


def _ended_servers() -> list[tuple[str, int]]:
    """Processes of the Ray that this process has started and that have ended, with their exit codes."""
    node = _node()
    return [] if node is None else [(name, process.returncode) for name, process in node.dead_processes()]

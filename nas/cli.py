"""The command line: its commands, and the exit codes of what goes wrong."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, NoReturn

import typer

from nas.commands.audit import audit
from nas.commands.compare import compare
from nas.commands.describe import describe
from nas.commands.doctor import doctor
from nas.commands.evaluate import evaluate
from nas.commands.exit_codes import EXIT_FAILED, EXIT_LOCKED, EXIT_NOT_WRITTEN, EXIT_WRONG_INPUT
from nas.commands.export import export
from nas.commands.import_command import import_
from nas.commands.measure import measure
from nas.commands.next_command import next_
from nas.commands.predict import predict
from nas.commands.pull import pull
from nas.commands.push import push
from nas.commands.report import report
from nas.commands.scale import scale
from nas.commands.schema import schema
from nas.commands.search import search
from nas.commands.simulate import simulate
from nas.commands.space import space
from nas.commands.status import status
from nas.commands.train import train
from nas.commands.verify import verify
from nas.commands.watch import watch

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Training-aware neural architecture search.",
)


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"nas {version('training-aware-nas')}")
        raise typer.Exit


@app.callback()
def _commands(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


COMMANDS = (
    search, describe, space, measure, status, watch, simulate, export, scale, train, compare, evaluate,
    predict, push, pull, verify,
    report, audit, doctor, schema,
)  # fmt: skip
for command in COMMANDS:
    app.command()(command)
app.command("import")(import_)
app.command("next")(next_)


def main() -> None:
    """Runs the command line; what a user got wrong ends with exit code 2 and no traceback."""
    _ensure_utf8()
    try:
        app(prog_name="nas")
    except Exception as error:
        with _uninterrupted():
            from nas.search.stopping import SearchStoppedError
            from trials.executors.ray_local import RayLostError

            code = _exit_code(error)
            if code is None:
                raise
            _fail(str(error), code, at_once=isinstance(error, (SearchStoppedError, RayLostError)))


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ignores Ctrl-C in the block: a second one must not cut off the message on how to continue."""
    if threading.current_thread() is not threading.main_thread():  # others get no signals
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before or signal.SIG_DFL)


def _ensure_utf8() -> None:
    """Starts this process again in UTF-8 where the locale is an older one, which cannot name all files.

    What is printed is still in the locale's own encoding, with replacements for what it does not have.
    """
    if sys.getfilesystemencoding() == "utf-8" or os.environ.get("PYTHONUTF8") == "1":
        return
    output = os.environ.get("PYTHONIOENCODING", f"{sys.stdout.encoding}:replace")
    os.environ.update(PYTHONUTF8="1", PYTHONIOENCODING=output)
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _exit_code(error: Exception) -> int | None:
    """The code for what a user can mend; None for a bug, which keeps its traceback."""
    from nas.search.stopping import SearchStoppedError
    from nas.search.strategy_guard import SearchFailedError
    from nas.training.failure import TrainingFailedError
    from search_spaces.settings.config_error import ConfigError
    from trials.devices.device_errors import DeviceLostError
    from trials.executors.ray_local import RayLostError
    from trials.executors.ray_pool import WorkersError
    from trials.executors.timing_places import WrongDeviceError
    from trials.log.disk_wait import LogNotWrittenError
    from trials.log.driver_lock import RunLockedError

    if isinstance(error, SearchStoppedError):
        return error.exit_code
    codes = {
        ConfigError: EXIT_WRONG_INPUT,
        WorkersError: EXIT_WRONG_INPUT,
        WrongDeviceError: EXIT_WRONG_INPUT,
        RunLockedError: EXIT_LOCKED,
        SearchFailedError: EXIT_FAILED,
        TrainingFailedError: EXIT_FAILED,
        RayLostError: EXIT_FAILED,
        DeviceLostError: EXIT_FAILED,
        LogNotWrittenError: EXIT_NOT_WRITTEN,
    }
    return next((code for kind, code in codes.items() if isinstance(error, kind)), None)


def _fail(message: str, code: int, *, at_once: bool = False) -> NoReturn:
    """Prints the message and exits; `at_once`: without exit handlers, which take seconds or may hang."""
    from nas.screens.terminal import say

    say(message)
    if at_once:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)

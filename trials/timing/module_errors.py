"""Errors within a user's module, told by the user's own file and line."""

import os
import sysconfig
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

import search_spaces
import trials
from search_spaces.settings.sentences import one_line
from search_spaces.settings.yaml_files import ConfigError
from trials.devices.device_errors import CaptureFailedError, is_out_of_memory

MOST_SAID = 300  # characters of what an error says
OURS = tuple(str(Path(package.__path__[0]).resolve()) for package in (search_spaces, trials, torch)) + tuple(
    str(Path(search_spaces.__path__[0]).resolve().parent / name) for name in ("nas", "analysis")
)
LIBRARY = str(Path(sysconfig.get_paths()["stdlib"]).resolve())


@contextmanager
def users_errors(name: str, doing: str, *, must_be_users: bool = False) -> Iterator[None]:
    """Turns what a user's module raises within the block into one sentence.

    Memory that ran out, and work that cannot be a CUDA graph, are raised as they are.

    Args:
        name: of the network.
        doing: what it was asked for, as in "its forward pass".
        must_be_users: an error without a line of the user's on its way is raised as it is, too.

    Raises:
        ConfigError: with the place in the user's file, where one is on the way.
    """
    try:
        yield
    except ConfigError:
        raise
    except (Exception, SystemExit) as error:
        if isinstance(error, Exception) and (
            isinstance(error, CaptureFailedError) or is_out_of_memory(error)
        ):
            raise
        place = _place_of(error)
        if must_be_users and place is None:
            raise
        raise ConfigError(
            f"{name}: {doing} failed{f' at {place}' if place else ''}: {_said(error)}"
        ) from error


def _place_of(error: BaseException) -> str | None:
    """The innermost line of code that is the user's: not of torch, Python's library or this project."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{_shown(error.filename)}, line {error.lineno}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_users(frame.filename)]
    if not frames:
        return None
    last = frames[-1]
    return f"{_shown(last.filename)}, line {last.lineno}, in {last.name}"


def _is_users(filename: str) -> bool:
    if filename.startswith("<frozen"):
        return False
    path = str(Path(filename).resolve())
    if any(path.startswith(folder + os.sep) for folder in OURS):
        return False
    return not path.startswith(LIBRARY + os.sep) or "site-packages" in path


def _shown(filename: str) -> str:
    """A file below the current folder by its path from there."""
    path = Path(filename)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else filename


def _said(error: BaseException) -> str:
    """The kind of the error and what it says, in one line."""
    text = one_line(" ".join(str(error).split()))
    if isinstance(error, SyntaxError):
        text = one_line(error.msg)
    text = text if len(text) <= MOST_SAID else f"{text[:MOST_SAID]}…"
    return f"{type(error).__name__}{f': {text}' if text else ''}"

"""Errors within a user's module, reported with the user's own file and line."""

import os
import sys
import sysconfig
import traceback
from pathlib import Path

import search_spaces
from search_spaces.networks.trusted import OUR_PACKAGES
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.sentences import one_line

MOST_SAID = 300  # characters of what an error says
HERE = Path(search_spaces.__path__[0]).resolve().parent
OURS = tuple(str(HERE / name) for name in OUR_PACKAGES)
LIBRARY = str(Path(sysconfig.get_paths()["stdlib"]).resolve())


def error_of_users(name: str, doing: str, error: BaseException) -> ConfigError:
    """One sentence about what a user's module has raised, with the place in its file where there is one.

    Args:
        name: of the network or the op.
        doing: what it was asked for, as in "its forward pass".
    """
    place = place_of(error)
    return ConfigError(f"{name}: {doing} failed{f' at {place}' if place else ''}: {_said(error)}")


def place_of(error: BaseException) -> str | None:
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
    if any(path.startswith(folder + os.sep) for folder in (*OURS, *_folders_of_torch())):
        return False
    return not path.startswith(LIBRARY + os.sep) or "site-packages" in path


def _folders_of_torch() -> list[str]:
    """Its folder, where it is loaded: the command line uses this file without it."""
    torch = sys.modules.get("torch")
    return [] if torch is None else [str(Path(path).resolve()) for path in torch.__path__]


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

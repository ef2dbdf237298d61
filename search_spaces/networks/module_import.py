"""Imports of a user's modules: the current folder is searched first, as by python -m, and stays clean."""

import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from search_spaces.networks.trusted import check_not_ours
from search_spaces.networks.users_code import error_of_users
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.near_names import suggestion


@contextmanager
def importing_here(folder: str | Path | None = None) -> Iterator[None]:
    """Searches a folder (default: the current one) first within the block, and writes no bytecode into it."""
    here, written = str(folder or os.getcwd()), sys.dont_write_bytecode
    sys.path.insert(0, here)
    sys.dont_write_bytecode = True
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.dont_write_bytecode = written
        if here in sys.path:
            sys.path.remove(here)


def imported_module(where: str, source: str, *, folder: str | Path | None = None) -> ModuleType:
    """The module of a dotted name, searched in `folder` (default: the current one) first.

    Raises:
        ConfigError: there is none, importing it fails, or it is one of this project; it begins with `source`.
    """
    check_not_ours(where, source)
    with importing_here(folder):
        try:
            if _is_missing(where):
                here = folder or os.getcwd()
                raise ConfigError(
                    f"{source}: there is no module {where} in {here}, nor among those that are installed"
                )
            module = importlib.import_module(where)
            _refuse_hidden(where, source, Path(folder or os.getcwd()))
            return module
        except ConfigError:
            raise
        except (Exception, SystemExit) as error:
            raise error_of_users(source, "importing it", error) from error


def _refuse_hidden(where: str, source: str, here: Path) -> None:
    """Refuses a module, Python's own or an installed one, that hides the folder's own of the same name."""
    top = where.partition(".")[0]
    mine = next((each for each in (here / f"{top}.py", here / top / "__init__.py") if each.is_file()), None)
    taken = getattr(sys.modules.get(top), "__file__", None)
    if mine is not None and taken is not None and not Path(taken).resolve().is_relative_to(here.resolve()):
        raise ConfigError(f"{source}: {top} is already {taken}, which hides {mine}; rename yours")


def lacking(made: Any, where: str, part: str) -> str:
    """A sentence about a name that a module, or what was found in it, does not have."""
    owner = (
        f"the module {where}" if isinstance(made, ModuleType) else getattr(made, "__name__", kind_of(made))
    )
    found = [
        name
        for name, value in getattr(made, "__dict__", {}).items()
        if not name.startswith("_") and callable(value) and getattr(value, "__module__", None) == where
    ]
    known = f"; in it are {', '.join(found[:20])}" if found else ""
    return f"{owner} has no {part}{known}{suggestion(part, found)}"


def kind_of(found: Any) -> str:
    """Words for an object that is not what was expected."""
    return "nothing" if found is None else f"an object of the class {type(found).__name__}"


def _is_missing(where: str) -> bool:
    try:
        return importlib.util.find_spec(where) is None
    except ModuleNotFoundError as error:
        # A package on the way; what one of these lacks itself is its own error.
        if error.name is not None and (where == error.name or where.startswith(f"{error.name}.")):
            return True
        raise

"""The packages from which this process may import ops: those that the caller has named, else none."""

import re
from collections.abc import Iterable
from pathlib import Path

from search_spaces.settings.config_error import ConfigError

OUR_PACKAGES = ("search_spaces", "trials", "analysis", "nas")
PACKAGE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)

_trusted: dict[str, Path] = {}  # package: the folder in which it is searched first


def trust(packages: Iterable[str], *, folder: Path | None = None, besides: bool = False) -> None:
    """Lets this process import the ops of these packages, or modules, and of what is in them.

    Args:
        folder: the one that is searched first (default: the current one).
        besides: those that are trusted already stay so.

    Raises:
        ConfigError: one of them is no name of a package, or a package of this project.
    """
    found = {}
    for package in packages:
        if PACKAGE.fullmatch(package) is None:
            raise ConfigError(
                f"--trust {package!r}: expected the name of a package or module, as my_package or "
                "my_package.blocks"
            )
        check_not_ours(package, f"--trust {package}")
        found[package] = folder or Path.cwd()
    if not besides:
        _trusted.clear()
    _trusted.update(found)


def trusted_by(module: str) -> str | None:
    """The trusted package that a module is in, or is; None where there is none."""
    return next((each for each in packages_of(module) if each in _trusted), None)


def folder_of(package: str) -> Path:
    """The folder in which a trusted package is searched first."""
    return _trusted[package]


def packages_of(module: str) -> list[str]:
    """The module and the packages that it is in, from the innermost out."""
    parts = module.split(".")
    return [".".join(parts[:length]) for length in range(len(parts), 0, -1)]


def check_not_ours(module: str, source: str) -> None:
    """Refuses a module within a package of this project.

    Raises:
        ConfigError: it is one; it begins with `source`.
    """
    top = module.partition(".")[0]
    if top in OUR_PACKAGES:
        raise ConfigError(
            f"{source}: {top} is a package of this project, which hides yours of that name; rename it"
        )

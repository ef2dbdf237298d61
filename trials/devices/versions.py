"""Versions of installed packages."""

from functools import cache
from importlib.metadata import PackageNotFoundError, version


@cache
def installed_version(package: str) -> str | None:
    """The version of a package; None where it is not installed.

    It is looked for once, which takes longer than all else that is recorded of a process.
    """
    try:
        return version(package)
    except PackageNotFoundError:
        return None

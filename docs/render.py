"""Renders every docstring with pdoc:  python docs/render.py [FOLDER [PACKAGE …]]; a warning is a failure."""

import importlib
import inspect
import pkgutil
import sys
import warnings
from pathlib import Path

import pdoc
import pdoc.render

PACKAGES = ("search_spaces", "trials", "analysis", "nas")


def modules_of(package: str) -> list[str]:
    """A package and all modules in it, by name."""
    found = importlib.import_module(package)
    inner = pkgutil.walk_packages(getattr(found, "__path__", []), f"{package}.")
    return [package, *(module.name for module in inner)]


def hide_pydantics_self(module: str) -> None:
    """Pydantic names the first argument of its dataclasses' __init__ by a type that nobody can import."""
    for _, kind in inspect.getmembers(importlib.import_module(module), inspect.isclass):
        getattr(kind.__init__, "__annotations__", {}).pop("__dataclass_self__", None)


def render(folder: Path, packages: tuple[str, ...] = PACKAGES) -> int:
    """Writes a page for each module, and returns how many."""
    names = [name for package in packages for name in modules_of(package)]
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # pdoc's own
        for name in names:
            hide_pydantics_self(name)
        pdoc.render.configure(docformat="google", show_source=False, search=len(packages) > 1)
        pdoc.pdoc(*packages, output_directory=folder)  # and what is in them
    return len(names)


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "build/api")
    print(f"{render(target, tuple(sys.argv[2:]) or PACKAGES)} modules in {target}/index.html")

"""Pages of the API for Sphinx: one for each module and package of the source tree."""

import ast
from collections.abc import Sequence
from pathlib import Path

PACKAGE = """{title}
{rule}

.. automodule:: {title}
"""
# Modules do not stand in the sidebar, which lists packages: it is part of every page.
MODULE = """:orphan:

{title}
{rule}

In :doc:`{package}`.

.. automodule:: {title}
"""
CONTENTS = """
.. list-table::
   :widths: auto

{rows}
"""
PACKAGES = """.. toctree::
   :hidden:

{entries}"""


def subject(path: Path) -> str:
    """First line of a module's docstring."""
    docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
    return docstring.partition("\n")[0].replace("*", r"\*").replace("`", "``")


def source_of(folder: Path, name: str) -> Path:
    """The file of a module or package `name` in a folder."""
    package = folder / name / "__init__.py"
    return package if package.exists() else folder / f"{name}.py"


def modules_in(folder: Path) -> list[str]:
    """Names of a package's own modules and packages; packages first."""
    packages = sorted(path.parent.name for path in folder.glob("*/__init__.py"))
    return packages + sorted(path.stem for path in folder.glob("*.py") if path.stem != "__init__")


def pages_of(root: Path, name: str) -> dict[str, str]:
    """Text of a page for a package or module, and for all in it, by dotted name."""
    folder = root.joinpath(*name.split("."))
    rule = "=" * len(name)
    if not folder.is_dir():
        return {name: MODULE.format(title=name, rule=rule, package=name.rpartition(".")[0])}
    inner = modules_in(folder)
    rows = [f"   * - :doc:`{n} <{name}.{n}>`\n     - {subject(source_of(folder, n))}\n" for n in inner]
    entries = [f"   {n} <{name}.{n}>\n" for n in inner if (folder / n).is_dir()]
    text = PACKAGE.format(title=name, rule=rule)
    text += CONTENTS.format(rows="".join(rows)) if rows else ""
    text += PACKAGES.format(entries="".join(entries)) if entries else ""
    pages = {name: text}
    for each in inner:
        pages |= pages_of(root, f"{name}.{each}")
    return pages


def write_reference(root: Path, packages: Sequence[str], target: Path) -> None:
    """Writes the pages into a folder of their own; those of modules that are gone are removed.

    A page that has not changed is left alone, so that Sphinx does not read it again.
    """
    pages = {f"{name}.rst": text for package in packages for name, text in pages_of(root, package).items()}
    target.mkdir(parents=True, exist_ok=True)
    for path in target.iterdir():
        if path.name not in pages:
            path.unlink()
    for name, text in pages.items():
        path = target / name
        if not path.exists() or path.read_text() != text:
            path.write_text(text)

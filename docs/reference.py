"""Pages of the API for Sphinx: one for each module and package of the source tree."""

import ast
from collections.abc import Sequence
from pathlib import Path

MODULE = """{title}
{rule}

.. automodule:: {title}
"""
CONTENTS = """
.. list-table::
   :widths: auto

{rows}
.. toctree::
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


def pages_of(root: Path, package: str) -> dict[str, str]:
    """Text of a page for the package and for all in it, by dotted name."""
    folder = root.joinpath(*package.split("."))
    text = MODULE.format(title=package, rule="=" * len(package))
    if not folder.is_dir():
        return {package: text}
    names = modules_in(folder)
    rows = [f"   * - :doc:`{n} <{package}.{n}>`\n     - {subject(source_of(folder, n))}\n" for n in names]
    entries = [f"   {n} <{package}.{n}>\n" for n in names]
    pages = {package: text + CONTENTS.format(rows="".join(rows), entries="".join(entries)) if names else text}
    for name in names:
        pages |= pages_of(root, f"{package}.{name}")
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

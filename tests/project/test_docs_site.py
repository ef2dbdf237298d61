"""The site of `make docs`: what stands between the source tree and Sphinx; nightly, the site itself."""

import importlib.util
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest
from documents import DOCS, README
from places import PACKAGES, REPOSITORY, SOURCES


def module(name: str) -> ModuleType:
    """A module of docs/, which is no package."""
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


docstrings, reference, signatures = module("docstrings"), module("reference"), module("signatures")


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("Rows of `run`, not `*args`s.", r"Rows of ``run``, not ``*args``\ s."),
        ("a * b |c| d_ e_f \\", r"a \* b \|c\| d\_ e_f \\"),
        ("Text.\n\nRaises:\n    ValueError: `a` * b.", "Text.\n\nRaises:\n    ValueError: ``a`` \\* b."),
        ("A queue:\n\n    b -> a", "A queue:\n\n::\n\n    b -> a"),
        (
            "| a | b |\n|---|---|\n| 1 | `c` |",
            ".. list-table::\n   :header-rows: 1\n\n   * - a\n     - b\n   * - 1\n     - ``c``",
        ),
    ],
    ids=["code", "marks", "section", "drawing", "table"],
)
def test_docstrings_become_restructured_text(written: str, expected: str) -> None:
    assert docstrings.to_restructured_text(written.split("\n")) == expected.split("\n")


@dataclass(frozen=True)
class Measured:
    """Something measured.

    Attributes:
        seconds: of one step.
    """

    name: str
    seconds: float
    size: tuple[int, int] = (1, 1)  # pixels, width first
    scale: float = 1.0  # of the smaller side


def test_comments_beside_fields_are_shown_as_attributes() -> None:
    shown = docstrings.with_fields(["Something."], Measured)
    assert shown[2:] == ["Attributes:", "    size: pixels, width first", "    scale: of the smaller side", ""]
    assert Measured.__doc__ is not None
    shown = docstrings.with_fields([line.strip() for line in Measured.__doc__.split("\n")], Measured)
    assert shown.count("Attributes:") == 1
    assert shown.index("    size: pixels, width first") < shown.index("seconds: of one step.")
    assert docstrings.with_fields(["A number."], int) == ["A number."]


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("(a: int = 1)", "(a: int = 1)"),
        ("(a: ~typing.Annotated[dict[str, int], f(x=[1, 2])], b: int)", "(a: dict[str, int], b: int)"),
        ("(a: Annotated[x.Annotated[str, 1] | None, 2] = None)", "(a: str | None = None)"),
        ("(a: list[int] = <factory>, b: T = <x.Y object at 0x7f00>)", "(a: list[int] = ..., b: T = ...)"),
        ("(a: F = <function f>, b: F = <function C.<lambda>>)", "(a: F = ..., b: F = ...)"),
    ],
)
def test_signatures_are_shown_without_validators(text: str, plain: str) -> None:
    assert signatures.plain_signature(text) == plain


def test_each_module_has_a_page_and_each_package_lists_its_own(tmp_path: Path) -> None:
    for name, subject in {
        "lib/__init__.py": "A library.",
        "lib/read.py": "Reads `rows`.",
        "lib/room/__init__.py": "A room.",
        "lib/room/door.py": "A door.",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'"""{subject}\n\nMore.\n"""\n')
    target = tmp_path / "pages"
    reference.write_reference(tmp_path, ["lib"], target)
    assert {path.name for path in target.iterdir()} == {
        "lib.rst", "lib.read.rst", "lib.room.rst", "lib.room.door.rst"
    }  # fmt: skip
    assert "In :doc:`lib.room`." in (target / "lib.room.door.rst").read_text()
    page = (target / "lib.rst").read_text()
    assert ".. automodule:: lib\n" in page
    assert re.findall(r"- (.+)", page) == [
        ":doc:`room <lib.room>`", "A room.", ":doc:`read <lib.read>`", "Reads ``rows``."
    ]  # fmt: skip

    (tmp_path / "lib" / "read.py").unlink()
    unchanged = (target / "lib.room.rst").stat().st_mtime_ns
    reference.write_reference(tmp_path, ["lib"], target)
    assert not (target / "lib.read.rst").exists()
    assert (target / "lib.room.rst").stat().st_mtime_ns == unchanged


def test_every_module_of_the_project_has_a_page() -> None:
    pages = [name for package in PACKAGES for name in reference.pages_of(REPOSITORY, package)]
    modules = [path for path in SOURCES if (path.parent / "__init__.py").is_file()]  # else it is a notebook
    assert len(pages) == len(set(pages)) == len(modules)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_the_site_is_built_without_a_warning_and_needs_no_network(tmp_path: Path) -> None:
    pytest.importorskip("furo")
    site = tmp_path / "site"
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-j", "auto", "-c", "docs",
         "-d", tmp_path / "doctrees", ".", site],
        capture_output=True, text=True, check=False,
        cwd=REPOSITORY, env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert README.read_text().splitlines()[0].strip("# ") in (site / "index.html").read_text()
    pages = {path: path.read_text() for path in site.rglob("*.html")}
    for path, page in pages.items():
        assert not re.search(r"<(script|link|img)[^>]+(src|href)=\"(https?:)?//", page), path
    assert not re.search(r"url\([\"']?(https?:)?//", "".join(p.read_text() for p in site.rglob("*.css")))
    found = (site / "searchindex.js").read_text()
    assert "build_network" in found
    assert "docs/search_file" in found

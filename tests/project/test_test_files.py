"""Test files stand alone: what several of them need is in tests/fixtures, by subject."""

import ast
from pathlib import Path

import pytest
from conftest import LONGEST, RERUN, TIMED
from places import REPOSITORY

TESTS = REPOSITORY / "tests"
FILES = sorted(path for path in TESTS.rglob("*.py") if "benchmarks" not in path.parts)
each_file = pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(TESTS)))


@each_file
def test_no_file_of_the_tests_imports_a_test_file(path: Path) -> None:
    imported = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module or "")
    assert not [name for name in imported if name.rpartition(".")[2].startswith("test_")]


@each_file
def test_files_of_the_tests_name_their_subject_and_stay_below_400_lines(path: Path) -> None:
    text = path.read_text()
    assert ast.get_docstring(ast.parse(text)), "the first line names the file's subject"
    assert len(text.splitlines()) <= 400


def test_files_that_conftest_names_exist() -> None:
    assert {*LONGEST, *RERUN, *TIMED} <= {path.stem for path in FILES}

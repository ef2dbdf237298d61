"""Test files stand alone: what several of them need is in tests/fixtures, by subject."""

import ast
from pathlib import Path

from conftest import LONGEST, RERUN, TIMED
from places import REPOSITORY

TESTS = REPOSITORY / "tests"
FILES = sorted(path for path in TESTS.rglob("*.py") if "benchmarks" not in path.parts)


def test_no_file_of_the_tests_imports_a_test_file() -> None:
    imported = {name(path): imported_test_files(path) for path in FILES}
    assert {path: names for path, names in imported.items() if names} == {}


def imported_test_files(path: Path) -> list[str]:
    imported = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module or "")
    return [name for name in imported if name.rpartition(".")[2].startswith("test_")]


def test_files_of_the_tests_name_their_subject_and_stay_below_400_lines() -> None:
    texts = {name(path): path.read_text() for path in FILES}
    assert [path for path, text in texts.items() if not ast.get_docstring(ast.parse(text))] == []
    assert [path for path, text in texts.items() if len(text.splitlines()) > 400] == []


def name(path: Path) -> str:
    return str(path.relative_to(TESTS))


def test_files_that_conftest_names_exist() -> None:
    assert {*LONGEST, *RERUN, *TIMED} <= {path.stem for path in FILES}

"""The packages import in one order only, and the light ones stay light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from places import REPOSITORY

ORDER = ("search_spaces", "trials", "analysis", "nas")
FILES = sorted(path for package in ORDER for path in (REPOSITORY / package).rglob("*.py"))


def imported_modules(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module or "")
    return names


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_packages_import_only_those_to_their_left(path: Path) -> None:
    own = path.relative_to(REPOSITORY).parts[0]
    later = set(ORDER[ORDER.index(own) + 1 :])
    roots = {name.split(".")[0] for name in imported_modules(path)}
    assert not roots & later


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_ray_and_optuna_are_imported_only_where_they_belong(path: Path) -> None:
    roots = {name.split(".")[0] for name in imported_modules(path)}
    assert "ray" not in roots or path.name.startswith("ray_")
    assert "optuna" not in roots or path.name in ("tpe.py", "nsga2.py", "optuna_study.py", "optuna_export.py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_files_have_a_subject_and_stay_short(path: Path) -> None:
    text = path.read_text()
    assert ast.get_docstring(ast.parse(text)), "the first line names the file's subject"
    assert len(text.splitlines()) <= 400
    assert path.stem not in {"utils", "common", "base", "misc", "manager", "helpers"}
    if path.name == "__init__.py":
        assert len(ast.parse(text).body) == 1, "__init__.py holds a docstring and nothing else"


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("analysis.frame", ("torch", "ray", "optuna")),
        ("analysis.run_comparison", ("torch", "ray", "optuna", "matplotlib")),
        ("trials.trial", ("torch", "ray", "optuna")),
        ("trials.log.schema", ("torch", "ray", "optuna")),
        ("trials.run_trial", ("ray", "optuna")),
        ("search_spaces.networks.network", ("ray", "optuna")),
        ("nas.cli", ("torch", "ray", "optuna", "pandas")),
    ],
)
def test_module_loads_without_heavy_packages(module: str, forbidden: tuple[str, ...]) -> None:
    code = f"import sys, {module}; print([name for name in {forbidden!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

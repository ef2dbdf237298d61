"""Packages and their rooms import in one order only, without circles, and the light ones stay light."""

import ast
import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import cast

import pytest
from places import PACKAGES, REPOSITORY, SOURCES, by_file

# Inside a package a folder is a room, and a file beside rooms counts as one; each imports those to its left.
ROOMS = {
    "search_spaces": ("settings", "networks", "inheritance", "choices", "interchange"),
    "trials": (
        "objective", "recipe_stages", "recipe_optimizer", "pictures", "recipe", "measurement", "trial",
        "devices", "log", "reward", "images", "kernels", "augmentation", "training", "timing",
        "checkpoint", "failures", "measured_times", "worker_setup", "run_trial", "executors",
    ),
    "nas": (
        "events", "strategies", "search", "training", "results", "simulation", "measuring", "interchange",
        "hub", "comparing", "estimating", "scaling", "doctor", "report", "advising", "screens", "commands",
        "cli",
    ),
}  # fmt: skip
OF_OPTUNA = ("tpe.py", "nsga2.py", "optuna_strategy.py", "optuna_export.py", "optuna_importance.py")


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(REPOSITORY).with_suffix("").parts)


MODULES = {module_of(path): path for path in SOURCES}


@cache
def imported_modules(path: Path) -> frozenset[str]:
    """Every module that a file imports, at its top or later; `from package import module` is that module."""
    names = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            module = node.module or ""
            inner = {f"{module}.{alias.name}" for alias in node.names}
            names |= (inner & MODULES.keys()) or {module}
    return frozenset(names)


def roots_of(path: Path) -> set[str]:
    """Packages that a file imports, ours and others."""
    return {name.split(".")[0] for name in imported_modules(path)}


def test_packages_import_only_those_to_their_left() -> None:
    def later(path: Path) -> set[str]:
        own = path.relative_to(REPOSITORY).parts[0]
        return roots_of(path) & set(PACKAGES[PACKAGES.index(own) + 1 :])

    assert by_file(later) == {}


@pytest.mark.parametrize("package", ROOMS)
def test_every_file_stands_in_a_room_of_the_order(package: str) -> None:
    folder = REPOSITORY / package
    found = {path.relative_to(folder).parts[0].removesuffix(".py") for path in folder.rglob("*.py")}
    assert found - {"__init__"} == set(ROOMS[package])


@pytest.mark.parametrize("package", ROOMS)
def test_rooms_import_only_those_to_their_left(package: str) -> None:
    rank = {room: i for i, room in enumerate(ROOMS[package])}
    backward = []
    for module, path in MODULES.items():
        if not module.startswith(f"{package}.") or module.endswith("__init__"):
            continue
        for name in imported_modules(path):
            parts = name.split(".")
            if parts[0] == package and len(parts) > 1 and rank[parts[1]] > rank[module.split(".")[1]]:
                backward.append(f"{module} imports {name}")
    assert not backward


@pytest.mark.parametrize("package", ROOMS)
def test_the_page_on_architecture_draws_the_rooms_in_their_order(package: str) -> None:
    text = (REPOSITORY / "docs" / "architecture.md").read_text()
    drawn = re.search(rf"^    {package}  .*(?:\n {{10,}}◀.*)*", text, re.MULTILINE)
    assert drawn is not None
    assert tuple(re.findall(r"\w+", drawn[0])[1:]) == ROOMS[package]


def test_no_two_files_import_each_other_in_a_circle() -> None:
    needs = {module: set(imported_modules(path) & MODULES.keys()) for module, path in MODULES.items()}
    # Files that import nothing of what is left, and files that nothing left imports, are in no circle.
    while True:
        imported = set().union(*needs.values())
        free = {module for module, others in needs.items() if not others or module not in imported}
        if not free:
            break
        needs = {module: others - free for module, others in needs.items() if module not in free}
    assert not needs, f"in circles, or between two: {sorted(needs)}"


def test_private_names_stay_in_their_room() -> None:
    def foreign(path: Path) -> list[str]:
        room = path.parent.relative_to(REPOSITORY).as_posix().replace("/", ".")
        return [
            f"{node.module}.{alias.name}"
            for node in ast.walk(parsed(path))
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in PACKAGES
            for alias in node.names
            if alias.name.startswith("_") and (node.module or "").rpartition(".")[0] != room
        ]

    assert by_file(foreign) == {}


def test_ray_and_optuna_are_imported_only_where_they_belong() -> None:
    def misplaced(path: Path) -> set[str]:
        allowed = {"ray"} if path.name.startswith("ray_") else {"optuna"} if path.name in OF_OPTUNA else set()
        return roots_of(path) & {"ray", "optuna"} - allowed

    assert by_file(misplaced) == {}


def test_source_files_name_their_subject_and_stay_below_400_lines() -> None:
    def faults(path: Path) -> list[str]:
        found = {
            "the first line does not name the file's subject": not ast.get_docstring(parsed(path)),
            "more than 400 lines": len(path.read_text().splitlines()) > 400,
            "a name that says nothing": path.stem
            in {"utils", "common", "base", "misc", "manager", "helpers"},
            "more than a docstring": path.name == "__init__.py" and len(parsed(path).body) != 1,
        }
        return [fault for fault, there in found.items() if there]

    assert by_file(faults) == {}


# Packages that a module must not load, in an order in which each module may load what those before it have.
HEAVY = {"torch", "ray", "optuna"}
LIGHT = {
    "nas.cli": HEAVY | {"pandas"},
    "analysis.frame": HEAVY | {"matplotlib", "scipy", "sklearn"},
    "analysis.ranking": HEAVY | {"matplotlib", "scipy", "sklearn"},
    "analysis.run_comparison": HEAVY | {"matplotlib"},
    "search_spaces.inheritance.weight_maps": HEAVY,
    "trials.trial": HEAVY,
    "trials.log.schema": HEAVY,
    "trials.run_trial": HEAVY - {"torch"},  # and with it networks, images, timing and training
}
LOADING = """
import importlib, json, sys
found = {}
for name, forbidden in json.loads(sys.argv[1]).items():
    importlib.import_module(name)
    found[name] = [each for each in forbidden if each in sys.modules]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def loaded() -> dict[str, list[str]]:
    """Packages that each module has loaded against the rule, all in one new interpreter."""
    light = json.dumps({name: sorted(forbidden) for name, forbidden in LIGHT.items()})
    done = subprocess.run([sys.executable, "-c", LOADING, light], capture_output=True, text=True, check=True)
    return cast(dict[str, list[str]], json.loads(done.stdout))


@pytest.mark.parametrize("module", LIGHT)
def test_module_loads_without_heavy_packages(module: str, loaded: dict[str, list[str]]) -> None:
    assert loaded[module] == []


# Calls that read what others may have written, and the only files with them: elsewhere a damaged or a hostile
# file would end in an error of the library.
READERS = {
    "json.load": (),
    "json.loads": ("search_spaces/settings/json_text.py",),
    "yaml.load": (),
    "yaml.safe_load": (),
    "yaml.parse": ("search_spaces/settings/parsing.py",),
    "torch.load": ("trials/training/foreign_weights.py",),
    "load_file": ("trials/training/foreign_weights.py",),
    "load_bytes": ("trials/training/weights_file.py",),
    "np.load": ("trials/images/packed.py", "trials/images/pack_process.py"),
    "pd.read_parquet": ("analysis/public_tables.py",),  # tables that come with the project
}


def test_what_others_may_have_written_is_read_at_one_place() -> None:
    found = {(ast.unparse(call.func), name) for call, name in _calls() if ast.unparse(call.func) in READERS}
    assert found == {(call, name) for call, names in READERS.items() for name in names}


def test_parquet_is_read_where_its_errors_are_caught() -> None:
    names = {name for call, name in _calls() if ast.unparse(call.func) in PARQUET}
    assert names
    for name in names:
        assert re.search(r"\bparquet_refused\(\)|_refused\(\)", (REPOSITORY / name).read_text()), name


PARQUET = ("pq.ParquetFile", "pq.read_table", "pq.read_metadata", "pq.read_schema")


def _calls() -> list[tuple[ast.Call, str]]:
    return [
        (node, str(path.relative_to(REPOSITORY)))
        for path in SOURCES
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call)
    ]

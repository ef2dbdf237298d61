"""The marimo notebook runs on a small run: as a script where marimo is, and by its cells without it."""

import ast
import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FunctionType, ModuleType, SimpleNamespace
from typing import Any

import matplotlib as mpl
import pytest
from places import REPOSITORY
from synthetic_run import write_audited_run, write_rows, write_run

from search_spaces.networks.architecture import Architecture
from search_spaces.settings.yaml_files import read_yaml

NOTEBOOK = REPOSITORY / "analysis" / "reactive" / "explore.py"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_audited_run(tmp_path_factory.mktemp("runs") / "flowers")


class Notebook:
    """As much of marimo's App as a notebook's file uses: it collects the cells."""

    def __init__(self, **options: object) -> None:
        self.cells: list[FunctionType] = []

    def cell(self, function: FunctionType) -> FunctionType:
        self.cells.append(function)
        return function


def control(kind: str) -> Callable[..., SimpleNamespace]:
    """A control of the page as it is before anybody has touched it."""

    def made(*positional: Any, value: Any = None, **options: Any) -> SimpleNamespace:
        if kind == "table":  # its value are the selected rows
            value = positional[0].iloc[options["initial_selection"]]
        return SimpleNamespace(kind=kind, value=value)

    return made


@pytest.fixture
def marimo(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """A stand-in for marimo; what is put on the page by its layouts."""
    shown: list[object] = []

    def layout(parts: Iterable[object], **options: object) -> object:
        shown.extend(parts)
        return parts

    found = ModuleType("marimo")
    vars(found).update(
        App=Notebook, vstack=layout, hstack=layout, md=str, plain_text=str, accordion=dict,
        download=lambda data, filename, label: (filename, data),
        ui=SimpleNamespace(**{kind: control(kind) for kind in ("text", "slider", "table", "run_button")}),
    )  # fmt: skip
    monkeypatch.setitem(sys.modules, "marimo", found)
    mpl.use("agg")
    return shown


def names_of(cell: FunctionType) -> tuple[str, ...]:
    """Names that a cell needs of others."""
    return cell.__code__.co_varnames[: cell.__code__.co_argcount]


def defined(function: ast.FunctionDef) -> list[str]:
    """Names that a cell gives to others: those that it returns."""
    last = function.body[-1]
    assert isinstance(last, ast.Return), "a cell ends with what it gives"
    return [each.id for each in ast.walk(last) if isinstance(each, ast.Name)]


def cells_in_file() -> list[ast.FunctionDef]:
    tree = ast.parse(NOTEBOOK.read_text())
    return [node for node in tree.body if isinstance(node, ast.FunctionDef)]


def test_each_name_is_given_by_one_cell_and_every_needed_one_by_an_earlier() -> None:
    known: list[str] = []
    for cell in cells_in_file():
        assert {each.arg for each in cell.args.args} <= set(known)
        known += defined(cell)
    assert len(known) == len(set(known)), "marimo refuses a name that two cells give"


def test_the_cells_run_without_marimo_and_write_the_chosen_architecture(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, marimo: list[object]
) -> None:
    from matplotlib.figure import Figure

    names = after_cells(run, tmp_path, monkeypatch)
    assert sum(isinstance(part, Figure) for part in marimo) >= 7
    assert ("best.csv", names["best"].to_csv(index=False).encode()) in marimo
    assert read_yaml(Architecture, tmp_path / "chosen.yaml").stages
    assert len((tmp_path / "best.csv").read_text().splitlines()) == 21


def test_of_two_runs_the_network_shown_is_that_of_the_best_row_and_rows_without_step_time_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, marimo: list[object]
) -> None:
    for name, seed in (("one", 0), ("two", 1)):
        rows = write_run(tmp_path / "runs" / name, 60, seed=seed)
        if name == "two":
            for row in rows:  # its trials are the better ones, and one has no step time
                row["accuracy"] = (row.get("accuracy") or 0.0) * 1.1
            rows[5] |= {"step_time_ratio": None, "status": "crashed"}
            write_rows(tmp_path / "runs" / name / "trials.parquet", rows)
    names = after_cells(tmp_path / "runs" / "*", tmp_path, monkeypatch)
    best, (chosen,) = names["best"].iloc[0], names["chosen"]
    assert (chosen["run"], chosen["trial_id"]) == (best["run"], best["trial_id"]) == ("two", best["trial_id"])
    assert f"trial {best['trial_id']} of two" in (tmp_path / "chosen.yaml").read_text()
    assert len(names["within"]) == len(names["trials"])


def after_cells(run: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """All names after the cells have run in their order."""
    monkeypatch.setenv("NAS_RUN", str(run))
    monkeypatch.setenv("NAS_OUT", str(out))
    spec = importlib.util.spec_from_file_location("explore_in_test", NOTEBOOK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    names: dict[str, Any] = {}
    for cell, written in zip(module.app.cells, cells_in_file(), strict=True):
        given = cell(*(names[name] for name in names_of(cell))) or ()
        names |= zip(defined(written), given, strict=True)
    return names


def test_the_notebook_runs_as_a_script(run: Path, tmp_path: Path) -> None:
    pytest.importorskip("marimo")
    places = os.pathsep.join(filter(None, (str(REPOSITORY), os.environ.get("PYTHONPATH"))))
    here = {"NAS_RUN": str(run), "NAS_OUT": str(tmp_path), "PYTHONPATH": places, "MPLBACKEND": "agg"}
    environment = {**os.environ, **here}
    subprocess.run([sys.executable, NOTEBOOK], env=environment, cwd=tmp_path, check=True, timeout=300)
    assert read_yaml(Architecture, tmp_path / "chosen.yaml").stages

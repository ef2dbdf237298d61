"""The notebook runs from top to bottom on a small run; its pictures have labels; what it keeps is small."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from places import REPOSITORY
from synthetic_run import write_rows, write_run

from analysis import plots
from analysis.finalists import finalists, standings
from analysis.frame import read_trials
from analysis.proxy_audit import proxy_audit
from analysis.reward_map import candidates, reward_map
from search_spaces.networks.architecture import Architecture
from search_spaces.settings.yaml_files import read_yaml

NOTEBOOK = REPOSITORY / "analysis" / "explore.ipynb"
TERMS = {"step_time_ratio": -0.07, "params": -0.05}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "flowers"
    rows = write_run(folder, 80)
    longer = [{**row, "purpose": "audit", "epochs": 40} for row in rows if row["status"] == "completed"]
    (folder / "audit").mkdir()
    write_rows(folder / "audit" / "trials.parquet", longer[::5])
    return folder


def test_notebook_runs_on_a_small_run_and_exports_the_chosen_architecture(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("NAS_RUN", str(run))
    monkeypatch.setenv("NAS_OUT", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "jupyter"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=600, resources=resources).execute()
    pictures = sum(
        "image/png" in output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", [])
    )
    assert pictures >= 8
    assert read_yaml(Architecture, tmp_path / "chosen.yaml").stages
    assert len((tmp_path / "best.csv").read_text().splitlines()) == 21


def test_stored_notebook_is_small_and_free_of_errors() -> None:
    assert NOTEBOOK.stat().st_size < 600_000
    cells: list[dict[str, Any]] = json.loads(NOTEBOOK.read_text())["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output["output_type"] == "error"]
    sources = "".join(line for cell in cells for line in cell["source"])
    assert "import torch" not in sources


def test_every_picture_has_its_axes_labelled(run: Path) -> None:
    trials = read_trials(run)
    audit = proxy_audit(trials, read_trials(run / "audit"))
    assert audit is not None
    grid = np.linspace(-0.3, 0.0, 9)
    mapped = reward_map(candidates(trials), grid, grid)
    found = standings(finalists(trials.to_dict("records")))  # type: ignore[arg-type]
    axes = Figure(figsize=(20, 20)).subplots(3, 3).ravel()
    plots.draw_front(axes[0], trials)
    plots.draw_front(axes[1], trials, against="params")
    plots.draw_progress(axes[2], trials, against="device_seconds")
    plots.draw_fused(axes[3], trials)
    plots.draw_effects(axes[4], trials)
    plots.draw_reward_map(axes[5], mapped, now=(-0.07, -0.05))
    plots.draw_ledger(axes[6], trials)
    plots.draw_finalists(axes[7], found)
    plots.draw_audit(axes[8], audit)
    for picture in axes:
        named = picture.get_ylabel() or [label.get_text() for label in picture.get_yticklabels()]
        assert picture.get_xlabel()
        assert named


def test_a_run_of_one_trial_is_drawn(run: Path) -> None:
    one = read_trials(run)[:1]
    axes = Figure().subplots(1, 2)
    plots.draw_front(axes[0], one)
    plots.draw_progress(axes[1], one)

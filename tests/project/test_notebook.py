"""The notebook runs from top to bottom on a small run, and what it keeps is small."""

import json
from pathlib import Path
from typing import Any

import pytest
from places import REPOSITORY
from synthetic_run import write_audited_run

from search_spaces.networks.architecture import Architecture
from search_spaces.settings.yaml_files import read_yaml

NOTEBOOK = REPOSITORY / "analysis" / "explore.ipynb"
TERMS = {"step_time_ratio": -0.07, "params": -0.05}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_audited_run(tmp_path_factory.mktemp("runs") / "flowers")


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

"""Runs in object stores, as frames: one by its URL, several by a pattern, and the notebook on one."""

import json
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import pandas as pd
import pytest
from places import REPOSITORY
from store_server import SECRET, serving
from synthetic_run import write_rows, write_run

from analysis.frame import read_epochs, read_trials
from analysis.run_comparison import compare_runs
from analysis.stages import read_stages
from search_spaces.networks.architecture import Architecture
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.yaml_files import read_yaml
from trials.log.object_store import Objects, StoreError

RUNS = "s3://bucket/runs"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The same two runs in a folder and in a bucket that a server holds; the environment leads to it."""
    folder = tmp_path_factory.mktemp("runs")
    for name in ("first", "second"):
        rows = write_run(folder / name, 40)
        longer = [{**row, "purpose": "audit", "epochs": 40} for row in rows if row["status"] == "completed"]
        (folder / name / "audit").mkdir()
        write_rows(folder / name / "audit" / "trials.parquet", longer[::5])
    with serving(tmp_path_factory.mktemp("cache")):
        bucket = Objects("s3://bucket")
        for path in folder.rglob("*.parquet"):
            bucket.put(f"runs/{path.relative_to(folder).as_posix()}", path.read_bytes())
        bucket.put("runs/other/notes.txt", b"no run")
        yield folder


def test_a_url_gives_the_rows_that_the_folder_gives(folder: Path) -> None:
    for read in (read_trials, read_epochs, read_stages):
        expected = read(folder / "first")
        for url in (f"{RUNS}/first", f"{RUNS}/first/", Path(f"{RUNS}/first")):
            pd.testing.assert_frame_equal(read(url), expected)
    pd.testing.assert_frame_equal(read_trials(f"{RUNS}/first/audit"), read_trials(folder / "first" / "audit"))


def test_a_pattern_of_urls_gives_the_rows_of_all_runs_that_fit(folder: Path) -> None:
    expected = read_trials(folder / "*")
    for pattern in (f"{RUNS}/*", "s3://bucket/ru?s/*", Path(f"{RUNS}/*")):
        found = read_trials(pattern)
        pd.testing.assert_frame_equal(found, expected)
    assert compare_runs(found)["run"].tolist() == ["first", "second"]
    assert read_trials(f"{RUNS}/sec*")["run"].unique().tolist() == ["second"]


def test_what_is_no_run_in_a_store_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in (f"{RUNS}/third", f"{RUNS}/other", f"{RUNS}/none-*", f"{RUNS}/other*"):
        with pytest.raises(FileNotFoundError, match="a run directory with a finished trial is expected"):
            read_trials(place)
    with pytest.raises(ConfigError, match="a bucket and a path in it are expected"):
        read_trials("s3://bucket/../runs")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setattr("trials.log.object_store.RETRIES", {"max_retries": 0})
    with pytest.raises(StoreError, match="the object store does not answer") as refused:
        read_trials(f"{RUNS}/first")
    assert SECRET not in str(refused.value)


def test_the_notebook_runs_on_a_url(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NAS_RUN", f"{RUNS}/first")
    monkeypatch.setenv("NAS_OUT", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    notebook = json.loads((REPOSITORY / "analysis" / "explore.ipynb").read_text())
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    before = mpl.get_backend()
    mpl.use("agg")
    names: dict[str, object] = {}
    for cell in cells:
        exec(compile(cell, "explore.ipynb", "exec"), names)
    mpl.use(before)
    assert read_yaml(Architecture, tmp_path / "chosen.yaml").stages
    assert "audited: 10 architectures" in capsys.readouterr().out

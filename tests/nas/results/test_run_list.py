"""The runs of a folder, one line each."""

import json
import os
import sys
from pathlib import Path

import pytest
from screens import screen_text
from synthetic_run import synthetic_config, write_run

from nas.cli import main
from nas.results.run_list import folder_status, holds_runs
from nas.screens.run_list import folder_screen


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    runs = tmp_path / "runs"
    for i, name in enumerate(("first", "a-run-with-a-name-that-is-much-too-long-for-a-table", "broken")):
        write_run(runs / name, 20, config=synthetic_config(budget={"trials": 20}, finalists=None))
        os.utime(runs / name / "log" / "asks", (i, i))
        os.utime(runs / name / "search.yaml", (i, i))
    (runs / "broken" / "search.yaml").write_text("space: [")
    (runs / "notes").mkdir()
    return runs


def test_list_of_runs_has_a_line_for_each_in_80_columns(folder: Path) -> None:
    assert holds_runs(folder)
    assert not holds_runs(folder / "first")
    assert not holds_runs(folder / "notes")
    figures = folder_status(folder)
    assert figures.runs[0].state == "unreadable"
    assert Path(figures.runs[-1].run).name == "first"
    lines = [line.rstrip() for line in screen_text(folder_screen(figures)).splitlines()]
    assert all(len(line) <= 80 for line in lines if not line.startswith("next:"))
    assert "20/20" in lines[3]
    assert "finished" in lines[3]
    assert "…" in lines[2]


def test_status_command_lists_a_folder_of_runs_and_watches_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder.parent)
    for words, code in ((["--json"], 0), (["runs", "--watch"], 2)):
        monkeypatch.setattr(sys, "argv", ["nas", "status", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        assert (ended.value.code or 0) == code
        captured = capsys.readouterr()
        if code == 0:
            assert len(json.loads(captured.out)["runs"]) == 3
        else:
            assert "--watch follows one run" in captured.err

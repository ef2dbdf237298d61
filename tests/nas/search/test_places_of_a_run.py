"""A run's folder that was moved, and one in which nothing can be written any more."""

from pathlib import Path

import pytest
from conftest import Nas
from folders import files_of
from formula import formula_worker, with_real_params
from formula_searches import identity, run_search, run_until
from read_only import make_read_only
from search_driver import config_of

from nas.results.verify import verify_run
from search_spaces.settings.config_error import ConfigError
from trials.log.run_reader import read_run

START = with_real_params(formula_worker)


def test_a_run_that_was_moved_goes_on_as_if_it_had_not_been(nas: Nas, tmp_path: Path) -> None:
    whole = run_search(config_of(12), tmp_path / "whole")
    run_until(config_of(12), tmp_path / "before", rows=5)
    moved = (tmp_path / "before").rename(tmp_path / "after it was moved")
    code, shown, _ = nas("status", str(moved))
    assert code == 0
    assert "5/12 trials" in shown
    assert f"nas search '{moved}/search.yaml' --run '{moved}'" in shown
    assert identity(run_search(config_of(12), moved)) == identity(whole)
    assert verify_run(moved).faults == ()
    assert not (tmp_path / "before").exists()


def test_a_run_that_cannot_be_written_is_read_and_not_continued(
    nas: Nas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    run_until(config_of(12), run, rows=5, start=START)
    before = files_of(run)
    with monkeypatch.context() as patch:
        make_read_only(run, patch)
        assert len(read_run(run).trials) == 5
        for words in (
            ("status", str(run)),
            ("describe", str(run)),
            ("export", str(run), "-o", str(tmp_path / "winner.yaml")),
            ("report", str(run), "-o", str(tmp_path / "report.html")),
            ("verify", str(run)),
        ):
            code, _, said = nas(*words)
            assert code == 0, (words, said)
        with pytest.raises(ConfigError, match=r"run: the run cannot be written here: Read-only file system$"):
            run_search(config_of(12), run, START)
        code, _, said = nas("report", str(run))
        assert code == 2
        assert "cannot be written: Read-only file system" in said
        code, _, said = nas("verify", str(run), "--repair")
        assert code == 2
        assert "cannot be written here: Read-only file system" in said
    assert files_of(run) == before
    assert len(run_search(config_of(12), run, START).rows) == 12


def test_a_new_run_where_nothing_can_be_written_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        make_read_only(tmp_path, patch)
        with pytest.raises(ConfigError, match=r"cannot be .*: Read-only file system"):
            run_search(config_of(12), tmp_path / "runs" / "first")
    assert list(tmp_path.iterdir()) == []

"""Who may read a run; and a run whose folder is gone."""

import os
import shutil
from pathlib import Path

import pytest
from recorded_rows import asked, fill

from trials.log.disk_wait import LogNotWrittenError
from trials.log.store import RunStore


def modes(folder: Path) -> set[str]:
    """The permissions of a folder and all below it."""
    return {f"{path.stat().st_mode & 0o777:o}" for path in (folder, *folder.rglob("*"))}


def test_only_the_owner_of_a_run_may_read_it_unless_it_is_shared(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        fill(tmp_path / "own")
        assert modes(tmp_path / "own") == {"700", "600"}
        with RunStore(tmp_path / "shared", shared=True) as store:
            store.record_ask(asked(0))
        assert modes(tmp_path / "shared") == {"755", "644"}
        (tmp_path / "open").mkdir(mode=0o750)  # a folder that is there keeps its permissions
        fill(tmp_path / "open")
        assert modes(tmp_path / "open") == {"750", "640"}
    finally:
        os.umask(before)


def test_a_run_whose_folder_is_gone_is_not_told_that_nothing_is_lost(tmp_path: Path) -> None:
    with RunStore(tmp_path / "run") as store:
        store.record_ask(asked(0))
        shutil.rmtree(tmp_path / "run")
        with pytest.raises(LogNotWrittenError, match="the run's folder is gone, and what was"):
            store.record_ask(asked(1))

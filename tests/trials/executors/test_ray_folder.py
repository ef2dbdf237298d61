"""The folder of a local Ray's files: its sockets need a short path."""

from pathlib import Path

import pytest

from trials.executors.ray_folder import APPENDED, LONGEST_SOCKET, LongFolderError, ray_folder


def test_a_short_folder_is_taken_without_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ray_folder("/tmp") == (Path("/tmp"), "")
    monkeypatch.setenv("RAY_TMPDIR", "/var/tmp")
    assert ray_folder() == (Path("/var/tmp"), "")


def test_a_long_folder_gives_way_to_a_short_one_which_is_said(tmp_path: Path) -> None:
    long = "/tmp/" + "x" * 100
    folder, said = ray_folder(long)
    assert folder in (Path("/tmp"), Path("/var/tmp"), Path("/dev/shm"))
    assert f"Ray's files are in {folder}" in said
    assert len(f"{folder}{APPENDED}") <= LONGEST_SOCKET


def test_where_no_folder_is_short_enough_the_variable_is_named() -> None:
    with pytest.raises(LongFolderError, match=r"at most .* bytes; name one in RAY_TMPDIR"):
        ray_folder("/tmp/" + "x" * 100, others=["/nowhere", "/tmp/" + "y" * 100])

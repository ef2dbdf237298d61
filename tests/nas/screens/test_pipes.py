"""Screens in a pipe: lines are whole, whatever the width of a terminal that is not there."""

from contextlib import chdir
from pathlib import Path

import pytest
from golden_screens import screen
from old_runs import copy_old_run

from nas.screens.terminal import terminal

SCREENS = (
    "status first",
    "status .",
    "verify second",
    "export second --pareto -o front",
    "describe efficientnetv2-s",
    "describe tiny",
    "scale efficientnetv2-b0 --phi 1 --phi -1 --like efficientnet-b3",
)


def printed(folder: Path, columns: int, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Lines of each screen, where COLUMNS says so many."""
    for name, version in (("first", "run_v1"), ("second", "run_v2")):
        copy_old_run(folder / name, version)
    monkeypatch.setenv("COLUMNS", str(columns))
    with chdir(folder):
        return {command: screen(command) for command in SCREENS}


def test_no_line_of_a_screen_is_cut_or_broken_in_a_pipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    narrow = printed(tmp_path / "narrow", 40, monkeypatch)
    wide = printed(tmp_path / "wide", 400, monkeypatch)
    assert narrow == wide
    assert max(len(line) for lines in narrow.values() for line in lines) > 80
    assert not [line for lines in narrow.values() for line in lines if line != line.rstrip() or "…" in line]


def test_a_terminal_has_its_own_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    assert terminal().width > 1000
    monkeypatch.setenv("FORCE_COLOR", "1")  # as of a terminal
    assert terminal().width == 40

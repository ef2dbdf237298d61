"""A search that cannot begin is refused before it says that it searches."""

import sys
from pathlib import Path

import pytest

from nas.cli import main


@pytest.mark.parametrize("override", ["space.limits.params=1000", "step_time_table=nothere.json"])
def test_nothing_is_said_of_searching_before_all_is_checked(
    override: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["nas", "search", "quick", "--in-process", "--set", override])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    captured = capsys.readouterr()
    assert f"--set {override}" in captured.err
    assert "searching" not in captured.out

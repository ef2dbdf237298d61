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


@pytest.mark.parametrize("budget", [(), ("--budget", "1h")], ids=["search", "search --budget"])
def test_only_images_that_are_not_there_are_to_be_named(
    budget: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The hint goes by the kind of the mistake, not by words that a folder's name may hold, too."""
    empty = tmp_path / "there is no such folder"
    empty.mkdir()
    said = {}
    for source in (empty, tmp_path / "missing"):
        words = ["nas", "search", "quick", "--in-process", *budget, "--set", f"data.source={source}"]
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 2
        said[source.name] = capsys.readouterr().err
    assert "this folder is empty" in said[empty.name]
    assert "name your images" not in said[empty.name]
    assert "name your images:  --set data.source=PATH" in said["missing"]

"""Names made by others on the terminal: shown as they are, and never a command to it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import Nas
from pictures import write_folder
from rich.table import Table
from rich.text import Text

from nas import commands
from nas.commands.output import show
from nas.results.run_list import RunList, UnreadableRun
from nas.screens.evaluation import evaluation_screen
from nas.screens.run_list import folder_screen
from nas.screens.terminal import print_notes, printable, terminal
from nas.training.evaluation import Evaluation
from nas.training.evaluation_pictures import draw_confusion
from search_spaces.settings.sentences import some

ODD = "a\x1b[31mred\x07 [bold]b[/bold] :smile: \u202eevil \udce9"
SHOWN = r"a\x1b[31mred\x07 [bold]b[/bold] :smile: \u202eevil \xe9"


def test_control_characters_and_broken_bytes_are_written_as_escapes() -> None:
    assert printable(ODD) == SHOWN
    assert printable("plain é × text\n\tindented") == "plain é × text\n\tindented"


@pytest.mark.parametrize("shape", ["text", "string", "cell"])
def test_a_console_shows_names_as_they_are(shape: str, capsys: pytest.CaptureFixture[str]) -> None:
    table = Table(box=None)
    table.add_column("", no_wrap=True)
    table.add_row(ODD)
    terminal().print({"text": Text(ODD), "string": ODD, "cell": table}[shape], soft_wrap=True)
    assert SHOWN in capsys.readouterr().out


def test_odd_names_of_folders_and_classes_reach_the_screen_as_escapes(nas: Nas, tmp_path: Path) -> None:
    root = tmp_path / "pictures \x1b[31m[red]"
    write_folder(root, per_class=60, classes=("cat", "c\x1b[2Jow", "[dog]"))
    _, shown, said = nas("doctor", str(root))
    assert "\x1b[31m" not in shown + said
    assert "\x1b[2J" not in shown + said
    text = " ".join(shown.split())
    assert "[dog] 60" in text
    assert r"c\x1b[2Jow 60" in text
    _, shown, said = nas("status", str(root))
    assert r"\x1b[31m[red]: not a run directory" in said


def test_names_beyond_ascii_are_understood_in_any_locale(tmp_path: Path) -> None:
    (tmp_path / "fleurs-é").mkdir()
    environment = {**os.environ, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    script = "import sys; from nas.cli import main; sys.argv[0] = 'nas'; main()"
    done = subprocess.run(
        [sys.executable, "-c", script, "status", "fleurs-é"],
        capture_output=True, cwd=tmp_path, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert b"fleurs-\\xe9" in done.stderr or "fleurs-é".encode() in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_console_writes_where_it_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    terminal(stderr=True).print("aside")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "aside\n")


def evaluation(*classes: str) -> Evaluation:
    """An evaluation that mistook no image of these classes but those of the first, once."""
    confusion = 2 * np.eye(len(classes), dtype=np.int64)
    confusion[0, 1] = 1
    return Evaluation(
        images=int(confusion.sum()), resolution=8, accuracy=1.0, accuracy_top5=1.0, loss=0.0, classes=classes,
        confusion=confusion,
    )  # fmt: skip


def test_a_class_whose_name_has_breaks_has_one_line_of_the_evaluation(
    capsys: pytest.CaptureFixture[str],
) -> None:
    screen = evaluation_screen(evaluation("cat\nof 2\tlines", "d\u2028o\rg"), source="pictures")
    show(False, lambda: None, lambda: screen)
    rows = capsys.readouterr().out.splitlines()[3:]
    assert [row.split("  ")[0].strip() for row in rows] == [r"d\u2028o\rg", r"cat\nof 2\tlines"]
    assert rows[1].rstrip().endswith(r"d\u2028o\rg (1)")


def test_a_run_whose_name_has_breaks_has_one_line_of_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    listed = RunList("runs", (UnreadableRun("runs/a\nb", "unreadable", "damaged"),))
    show(False, lambda: None, lambda: folder_screen(listed))
    assert capsys.readouterr().out.splitlines()[1].split() == [r"a\nb", "unreadable"]


def test_a_note_and_a_list_of_names_stay_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_notes(terminal(), "data", ["no image of 1 class is evaluated on: a\nb"])
    assert capsys.readouterr().out == "data: no image of 1 class is evaluated on: a\\nb\n"
    assert some(["a\nb", "c\td"]) == r"a\nb, c\td"


def test_dollar_signs_in_names_of_classes_are_drawn_and_no_formulas(tmp_path: Path) -> None:
    """So are bytes that are no UTF-8, which matplotlib refuses."""
    found = evaluation("$\\frac{$", "a$b$", "caf\udce9\nau lait")
    draw_confusion(found, tmp_path / "confusion.png", title="run $x$ \\frac{ caf\udce9")
    assert (tmp_path / "confusion.png").stat().st_size > 1000


def test_commands_print_through_the_terminal_alone() -> None:
    """A console of rich's own would read names as markup, and pass their escape sequences on."""
    for path in (Path(commands.__file__).parent).glob("*.py"):
        assert not re.search(r"(?<![\w.])Console\(", path.read_text()), path.name


def test_a_long_command_to_type_next_is_neither_split_nor_cut(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    run = f"runs/{'a-long-name-' * 5}"
    listed = RunList("runs", (UnreadableRun(run, "unreadable", "damaged"),))
    show(False, lambda: None, lambda: folder_screen(listed))
    assert f"next:  nas status {run}" in capsys.readouterr().out.splitlines()

"""docs/own_ops.md: from an empty folder to a search with one's own block, as it is written there."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Nas
from documents import DOCS, fenced, typed
from own_op_packages import forgotten

TEXT = (DOCS / "own_ops.md").read_text()
COMMANDS = typed(TEXT)[:3]
SHORTER = {
    "search": ("--in-process", "--set", "budget.trials=3", "--set", "recipe.epochs=1"),
    "describe": (),
}


@pytest.fixture(autouse=True)
def _afterwards_forgotten() -> Iterator[None]:
    with forgotten():
        yield


def test_the_page_leads_from_an_empty_folder_to_a_search_with_ones_own_block(nas: Nas) -> None:
    for language in ("python", "yaml"):
        (text,) = fenced(TEXT, language)
        path = Path(re.match(r"# (\S+)\n", text)[1])  # type: ignore[index]
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    code, _, err = nas("search", "ghost.yaml", "--in-process", "--run", "runs/ghost")
    assert code == 2
    said = re.search(r"leaves nothing:\n\n((?: {4}.*\n)+)", TEXT)
    assert said is not None
    assert err.split("\n")[-2] == " ".join(said[1].split())
    assert not Path("runs").exists()
    assert [command.split()[1] for command in COMMANDS] == ["search", "describe", "train"]
    for command in COMMANDS[:2]:
        code, out, err = nas(*shlex.split(command)[1:], *SHORTER[command.split()[1]])
        assert code == 0, err
    assert "stage" in out
    blocks = Path("my_package/blocks.py")
    with forgotten():
        blocks.write_text(blocks.read_text() + "# changed\n")
        code, _, err = nas(*shlex.split(COMMANDS[0])[1:], *SHORTER["search"])
    assert code == 2
    said = re.search(r"same code alone:\n\n((?: {4}.*\n)+)", TEXT)
    assert said is not None
    assert "\n".join(line[4:] for line in said[1].splitlines()) in err

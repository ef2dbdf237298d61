"""The first line of a command that loads for seconds is printed before it loads."""

import json
import re
import subprocess
import sys

import pytest

# In a new interpreter, which forks for each command: it ends where something is loaded that takes seconds.
SCRIPT = """
import importlib.abc, json, os, sys

class Loading(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name in ("torch", "ray", "pandas", "matplotlib"):
            print(f"loading {name}", flush=True)
            raise SystemExit(9)

sys.meta_path.insert(0, Loading())
from nas.cli import main
for words in json.loads(sys.argv[1]):
    print("typed", *words, flush=True)
    pid = os.fork()
    if pid == 0:
        sys.argv = ["nas", *words]
        main()
        sys.exit("nothing was loaded")
    print("ended", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""
COMMANDS = {
    "train winner.yaml --data digits --run a/b": "reading    winner.yaml by recipe cifar10, in a/b",
    "train --run a/b": "reading    what was begun in a/b",
    "compare a.yaml b.yaml --data digits --run a/b": "reading    2 networks by recipe cifar10, in a/b",
    "compare --run a/b": "reading    what was begun in a/b",
    "compare a/b": "reading    a/b",
    "search quick --run a/b": "reading    quick, in a/b",
}


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """The lines of each command until it ends; in their folder none leaves anything."""
    folder = tmp_path_factory.mktemp("typed")
    typed = json.dumps([command.split() for command in COMMANDS])
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, typed], capture_output=True, text=True, cwd=folder, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert not list(folder.iterdir())
    parts = re.split(r"^typed (.*)\n", done.stdout, flags=re.M)[1:]
    return {command: said.splitlines() for command, said in zip(parts[::2], parts[1::2], strict=True)}


@pytest.mark.parametrize(("command", "line"), COMMANDS.items())
def test_first_line_comes_before_anything_is_loaded_that_takes_seconds(
    command: str, line: str, printed: dict[str, list[str]]
) -> None:
    first, second, ended = printed[command]
    assert first == line
    assert second.startswith("loading ")
    assert ended == "ended 9"

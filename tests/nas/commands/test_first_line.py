"""The first line of a command that loads for seconds is printed before it loads."""

import subprocess
import sys
from pathlib import Path

import pytest

# Ends the process where something is loaded that takes seconds.
SCRIPT = """
import importlib.abc, sys

class Loading(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name in ("torch", "ray", "pandas", "matplotlib"):
            print(f"loading {name}", flush=True)
            raise SystemExit(9)

sys.meta_path.insert(0, Loading())
sys.argv = ["nas", *sys.argv[1:]]
from nas.cli import main
main()
"""


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("train", "winner.yaml", "--data", "digits", "--run", "a/b"),
         "reading    winner.yaml by recipe cifar10, in a/b"),
        (("train", "--run", "a/b"), "reading    what was begun in a/b"),
        (("compare", "a.yaml", "b.yaml", "--data", "digits", "--run", "a/b"),
         "reading    2 networks by recipe cifar10, in a/b"),
        (("compare", "--run", "a/b"), "reading    what was begun in a/b"),
        (("compare", "a/b"), "reading    a/b"),
        (("search", "quick", "--run", "a/b"), "reading    quick, in a/b"),
    ],
)  # fmt: skip
def test_first_line_comes_before_anything_is_loaded_that_takes_seconds(
    words: tuple[str, ...], line: str, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *words], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 9, done.stderr
    first, second = done.stdout.splitlines()
    assert first == line
    assert second.startswith("loading ")
    assert not list(tmp_path.iterdir())

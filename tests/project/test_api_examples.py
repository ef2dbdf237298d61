"""docs/api.md: its examples run, in the order in which they stand, and the names that it lists are there."""

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from places import REPOSITORY

TEXT = (REPOSITORY / "docs" / "api.md").read_text()
EXAMPLES = re.findall(r"^## (.+?)$.*?^```python\n(.*?)^```$", TEXT, flags=re.M | re.S)
LISTED = [
    (package, name)
    for package, names in re.findall(r"^\| `(\w+)` \| (.+) \|$", TEXT, flags=re.M)
    for name in re.findall(r"`([\w.]+)`", names)
]
RUNNER = """
import json, sys
for title, code in json.load(sys.stdin):
    print("##", title, flush=True)
    exec(compile(code, title, "exec"), {"__name__": title})
"""


def test_api_document_shows_every_extension_point_in_at_most_12_lines() -> None:
    titles = [title for title, _ in EXAMPLES]
    asked = ["op", "strategy", "data source", "reward", "executor"]
    assert [title for title in titles if title.startswith("An own")] == [f"An own {word}" for word in asked]
    lengths = [len(re.findall(r"^(?!from |import |\s*$).", code, flags=re.M)) for _, code in EXAMPLES]
    assert max(lengths) <= 12, lengths


def test_examples_of_the_api_document_run_one_after_the_other(tmp_path: Path) -> None:
    """One after the other in a process of their own: they change what it knows."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(tmp_path / "cache")}
    environment["PYTHONPATH"] = str(REPOSITORY)
    done = subprocess.run(
        [sys.executable, "-c", RUNNER],
        input=json.dumps(EXAMPLES), capture_output=True, text=True, cwd=tmp_path, env=environment,
        timeout=800, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    printed = dict(re.findall(r"^## (.+)\n((?:(?!##).*\n)*)", done.stdout, flags=re.M))
    assert len(printed) == len(EXAMPLES)
    assert printed["An own op"].startswith("32 of 16 blocks")
    assert "(200, 16, 16, 3)" in printed["An own data source"]
    assert "trial 2: completed" in printed["An own executor"]
    assert printed["An own executor"].strip().endswith("3")


@pytest.mark.parametrize(("package", "name"), LISTED, ids=lambda value: value)
def test_names_listed_in_the_api_document_exist_and_are_documented(package: str, name: str) -> None:
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            module = importlib.import_module(".".join([package, *parts[:length]]))
        except ModuleNotFoundError:
            continue
        found = module
        for part in parts[length:]:
            found = getattr(found, part)
        assert found.__doc__ or isinstance(found, dict)
        return
    pytest.fail(f"no module {package}.{name}")


@pytest.mark.parametrize(
    "packages", [("search_spaces",), pytest.param((), marks=pytest.mark.nightly)], ids=["one", "all"]
)
def test_docstrings_render_without_a_warning(tmp_path: Path, packages: tuple[str, ...]) -> None:
    pytest.importorskip("pdoc")
    done = subprocess.run(
        [sys.executable, "docs/render.py", tmp_path / "api", *packages],
        capture_output=True, text=True, check=False,
        cwd=REPOSITORY, env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    page = (tmp_path / "api" / "search_spaces" / "network.html").read_text()
    assert "build_network" in page
    assert "A network with fresh weights" in page

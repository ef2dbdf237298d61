"""docs/api.md: its examples run, in the order in which they stand."""

import re
from pathlib import Path

from apart import run_apart
from places import REPOSITORY
from timing_rounds import few_rounds

TEXT = (REPOSITORY / "docs" / "api.md").read_text()
EXAMPLES = re.findall(r"^## (.+?)$.*?^```python\n(.*?)^```$", TEXT, flags=re.M | re.S)


def run_examples(examples: list[tuple[str, str]]) -> None:
    """Runs them as they would be typed, each after its title."""
    few_rounds()
    for title, code in examples:
        print("##", title, flush=True)
        exec(compile(code, title, "exec"), {"__name__": title})


def test_api_document_shows_every_extension_point_in_at_most_12_lines() -> None:
    titles = [title for title, _ in EXAMPLES]
    asked = ["op", "strategy", "data source", "reward", "executor"]
    assert [title for title in titles if title.startswith("An own")] == [f"An own {word}" for word in asked]
    lengths = [len(re.findall(r"^(?!from |import |\s*$).", code, flags=re.M)) for _, code in EXAMPLES]
    assert max(lengths) <= 12, lengths


def test_examples_of_the_api_document_run_one_after_the_other(tmp_path: Path) -> None:
    """One after the other in a process of their own: they change what it knows."""
    done = run_apart(run_examples, EXAMPLES, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    printed = dict(re.findall(r"^## (.+)\n((?:(?!##).*\n)*)", done.stdout, flags=re.M))
    assert len(printed) == len(EXAMPLES)
    simulated = printed["Several workers in simulated time"].splitlines()
    assert sorted(line.split()[:2] for line in simulated) == [["0", "00:00:00"], ["1", "00:00:00"]]
    measured = [line.split()[:2] for line in printed["Networks side by side"].splitlines()]
    assert [measured[0][0], *measured[1]] == ["efficientnetv2-b0", "Net", str(32 * 27 + 32 + 64 + 330)]
    assert printed["An own op"].splitlines() == [
        "it keeps the contract of an op",
        "32 of 16 blocks with two each",
    ]
    assert "(200, 16, 16, 3)" in printed["An own data source"]
    assert "trial 2: completed" in printed["An own executor"]
    assert printed["An own executor"].strip().endswith("3")

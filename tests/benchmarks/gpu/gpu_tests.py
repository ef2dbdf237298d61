"""The tests marked `gpu`, one process for each of their files: a fault of the device ends only its own."""

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.gpu.conditions import Conditions
from benchmarks.gpu.facts import ROOT
from benchmarks.gpu.figures import Row

MARK = re.compile(r"\bmark\.gpu\b")
OUTCOME = re.compile(r"^(\S+\.py::.*?) (PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS)\b")
REASON = re.compile(r"^(?:FAILED|ERROR) (\S+\.py::.*?) - (.*)$")
GOOD_CODES = (0, 1, 5)  # of pytest: passed, some failed, none was chosen
REHEARSED = ("tests/trials/training/test_loss.py",)
TEST_SECONDS = 240


def measure(conditions: Conditions) -> Iterator[Row]:
    """Yields counts for each file, and every test that did not pass by its name."""
    files = REHEARSED if conditions.rehearse else marked_files()
    total: Counter[str] = Counter()
    for file in files:
        mark = "not gpu" if conditions.rehearse else "gpu"
        code, lines = said([file, "-m", mark], seconds=conditions.seconds_left)
        counts, failures = outcomes(lines)
        if code not in GOOD_CODES:
            counts["CRASHED"] += 1
            failures["the process"] = f"exit code {code}: {' / '.join(lines[-3:])}"
        total += counts
        yield Row(
            file, {name: counts[name.upper()] for name in ("passed", "failed", "error", "crashed", "skipped")}
        )
        for name, reason in failures.items():
            yield Row(name, {"why": reason[:300]})
    bad = total["FAILED"] + total["ERROR"] + total["CRASHED"]
    words = f"`pytest -m gpu`: {total['PASSED']} passed, {bad} failed, {total['SKIPPED']} skipped"
    yield Row("in all", {"passed": total["PASSED"], "failed": bad, "skipped": total["SKIPPED"]}, words)


def marked_files(root: Path = ROOT) -> list[str]:
    """The test files in which a test is marked, from the repository's root."""
    found = sorted((root / "tests").rglob("test_*.py"))
    return [str(file.relative_to(root)) for file in found if MARK.search(file.read_text())]


def said(words: Sequence[str], *, seconds: float) -> tuple[int, list[str]]:
    """Exit code and lines of pytest; -9 if it was ended after so many seconds."""
    command = [
        sys.executable, "-m", "pytest", "-v", "--tb=short", "-rfE", "-p", "no:cacheprovider",
        f"--timeout={max(min(seconds, TEST_SECONDS), 1):.0f}", *words,
    ]  # fmt: skip
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    try:
        text, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        text, _ = process.communicate()
    print(text, flush=True)  # for the log
    return process.returncode, text.splitlines()


def outcomes(lines: Sequence[str]) -> tuple[Counter[str], dict[str, str]]:
    """Counts by outcome, and the tests that did not pass with their reasons, from pytest's lines."""
    counts: Counter[str] = Counter()
    failures: dict[str, str] = {}
    for line in lines:
        if found := OUTCOME.match(line):
            counts[found[2]] += 1
            if found[2] in ("FAILED", "ERROR"):
                failures.setdefault(found[1], "see tests.log")
        elif found := REASON.match(line):
            failures[found[1]] = found[2]
    return counts, failures

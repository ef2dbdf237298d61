"""Wrong input to the commands that read runs, for the catalogue of messages."""

import re
from pathlib import Path

from error_cases import Case
from old_runs import copy_old_run
from small_files import SEARCH
from synthetic_run import write_run


def _begun(folder: Path) -> None:
    (folder / "run" / "log" / "parts").mkdir(parents=True)
    (folder / "run" / "search.yaml").write_text(SEARCH)


def _run(folder: Path) -> None:
    write_run(folder / "run", 20)


def _without_images(folder: Path) -> None:
    path = copy_old_run(folder / "run", "run_v2") / "search.yaml"
    path.write_text(re.sub("source: .*?([,}])", r"source: gone\1", path.read_text()))


def _damaged(folder: Path) -> None:
    _run(folder)
    path = folder / "run" / "trials.parquet"
    path.write_bytes(path.read_bytes()[:-20])


REPORTS = (
    Case("a report of a run that is not there", ("report", "nowhere")),
    Case("a report of a run without a finished trial", ("report", "run"), prepare=_begun),
    Case("a report of a damaged run", ("report", "run"), prepare=_damaged),
    Case(
        "a report by a quantity that is not measured", ("report", "run", "--reward", "speed=-1"), prepare=_run
    ),
    Case("a report by a reward without an exponent", ("report", "run", "--reward", "params"), prepare=_run),
    Case("a report for a device that was not measured", ("report", "run", "--device", "tpu"), prepare=_run),
    Case("a report below a file", ("report", "run", "-o", "run/search.yaml/b.html"), prepare=_run),
    Case("a report over a search file", ("report", "run", "-o", "run/search.yaml"), prepare=_run),
    Case("a report over a folder", ("report", "run", "-o", "run"), prepare=_run),
    Case("a report of runs one of which is not there", ("report", "run", "nowhere"), prepare=_run),
    Case("a report of a run beside itself", ("report", "run", "./run"), prepare=_run),
    Case("a report of more runs than fit", ("report", *(f"run{i}" for i in range(25)))),
)

AUDITS = (
    Case("an audit of a run that is not there", ("audit", "nowhere")),
    Case("an audit that is not longer", ("audit", "run", "--epochs", "3"), prepare=_run),
    Case("an audit of images that are gone", ("audit", "run", "--in-process"), prepare=_without_images),
    Case("an audit of one architecture", ("audit", "run", "--trials", "1"), prepare=_run),
    Case(
        "an audit with workers in one process",
        ("audit", "run", "--in-process", "--workers", "3"),
        prepare=_run,
    ),
)

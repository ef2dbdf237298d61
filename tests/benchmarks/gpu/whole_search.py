"""A search of CIFAR-10's size by the command line: seconds a trial, and what they go to."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd
from benchmarks.gpu.conditions import Conditions
from benchmarks.gpu.facts import ROOT
from benchmarks.gpu.figures import Row, several
from benchmarks.gpu.made_up_images import MINIVAL, image_file

from analysis.frame import read_trials
from trials.log.schema import WORK

TRIALS = 20
STOPPING_SECONDS = 10.0  # that a search needs to end, at most
NAS = (sys.executable, "-c", "from nas.cli import main; main()")


@dataclass(frozen=True)
class Searched:
    """The rows of a search that ended, and how many trials it did in an hour."""

    trials: pd.DataFrame
    per_hour: float


def measure(conditions: Conditions) -> Iterator[Row]:
    """Yields seconds a trial, and each phase's share of them."""
    found = searched(
        conditions, "search", trials=conditions.sized(TRIALS, 3), seconds=conditions.seconds_left
    )
    trials = found.trials
    seconds = _elapsed(trials)
    n = len(trials)
    yield Row(
        f"{n} trials",
        {
            "trials/h": found.per_hour,
            "s a trial": several(list(seconds)),
            "completed": int((trials["status"] == "completed").sum()),
            "as a graph": int((trials["training_mode"] == "graph").sum()),
            "flagged": int(trials["timing_flag"].notna().sum()),
        },
        f"a search by `nas search`: {found.per_hour:,.0f} trials an hour, {seconds.median():.1f} s a trial "
        f"(n = {n}, step time measured)",
    )
    named = {phase: trials[f"{phase}_seconds"].fillna(0) for phase in (*WORK, "waiting")}
    named["rest"] = seconds - sum(named.values())
    for phase, taken in named.items():
        yield Row(
            phase,
            {"s a trial": several(list(taken)), "share of a trial, %": 100 * taken.sum() / seconds.sum()},
        )


def _elapsed(trials: pd.DataFrame) -> pd.Series:
    return (trials["finished_at"] - trials["started_at"]).dt.total_seconds()


def searched(
    conditions: Conditions, name: str, *, trials: int, seconds: float, words: Sequence[str] = ()
) -> Searched:
    """Searches so many trials by `nas search` on one GPU in a new run, fewer if `seconds` are over before.

    Raises:
        RuntimeError: the command failed; its text is in the log.
    """
    run = conditions.folder("runs") / name
    shutil.rmtree(run, ignore_errors=True)
    settings = {
        "data.source": image_file(conditions), "data.minival": MINIVAL, "strategy": "{name: random_search}",
        "baseline": 0, "finalists": "null", "budget": f"{{trials: {trials}}}",
    }  # fmt: skip
    if conditions.rehearse:
        settings |= {"space": "tiny", "recipe.epochs": 1, "recipe.warmup_epochs": 0, "recipe.resolution": 16}
    overrides = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    command = [*NAS, "search", "nas/searches/cifar10.yaml", "--run", str(run), "--grace", "1", *words]
    environment = dict(os.environ)
    if not conditions.rehearse:  # one GPU, whatever else is there
        environment["CUDA_VISIBLE_DEVICES"] = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    process = subprocess.Popen([*command, *overrides], cwd=ROOT, env=environment, stdin=subprocess.DEVNULL)
    try:
        code = process.wait(max(seconds - STOPPING_SECONDS, 1.0))
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)  # ends it so that its rows are all there
        process.wait(2 * STOPPING_SECONDS)
        code = 0
    if code:
        raise RuntimeError(f"nas search ended with exit code {code}")
    try:
        rows = read_trials(run)
    except FileNotFoundError as error:
        raise RuntimeError(f"no trial of the search ended within {seconds:.0f} s") from error
    rows = rows[rows["started_at"].notna()]
    elapsed = (rows["finished_at"].max() - rows["started_at"].min()).total_seconds()
    return Searched(rows, 3600 * len(rows) / elapsed)

"""Real searches on a local Ray of their own, whose raylet or gcs_server is killed: how many go on.

    python tests/benchmarks/ray_killed.py [--searches 20] [--trials 6] [--moments 15] [--seed 0] [--starting]

Each search is `nas search quick` with one epoch a trial. At a random moment of the `--moments` seconds after
Ray has started and the first worker's process is there, its raylet or its gcs_server is killed (-9), turn and
turn about. With `--starting` the moments begin when the server's own process is there, while Ray itself still
starts. A search counts as good if it ends by itself with exit code 0, `nas verify` finds nothing, the
budget is met, no trial crashed for good, it said that Ray was started again, and 10 s later no process of its
Ray is left.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from trials.executors.ray_guard import MARK
from trials.executors.ray_start import SERVERS
from trials.log.store import RunStore

NAS = [sys.executable, "-c", "from nas.cli import main; main()"]
WORKER = "ray::RayWorker"
PATIENCE = 600.0


def ray_processes(folder: Path) -> dict[int, str]:
    """Processes of any Ray whose files are below `folder`, and their commands."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            marked = f"{MARK}={folder}/".encode() in (entry / "environ").read_bytes()
            command = (entry / "cmdline").read_bytes().split(b"\0")[0].decode()
        except OSError:
            continue
        if marked:
            found[int(entry.name)] = Path(command).name
    return found


@dataclass(frozen=True)
class Moments:
    """The time in which a server is killed: so many seconds from when a process of that name is there."""

    begin: str
    seconds: float


def killed(
    server: str, files: Path, search: "subprocess.Popen[bytes]", rng: random.Random, moments: Moments
) -> bool:
    """Waits for a search's Ray and kills one of its servers at a random moment; False if it ended before."""
    there: dict[int, str] = {}
    while not any(name.startswith(moments.begin) for name in there.values()) and search.poll() is None:
        time.sleep(0.05)
        there = ray_processes(files)
    pids = [pid for pid, name in there.items() if name == server]
    time.sleep(rng.uniform(0, moments.seconds))
    if search.poll() is not None:
        return False
    try:
        os.kill(pids[0], signal.SIGKILL)
    except ProcessLookupError:  # it was just ending
        return False
    return True


def faults_of(run: Path, said: str, code: int, trials: int) -> list[str]:
    """Reasons for which a search is not good."""
    found = [] if code == 0 else [f"exit code {code}"]
    if "it is started again" not in said:
        found.append("Ray was not started again")
    with RunStore(run) as store:
        rows = list(store.trials.values())
    counted = [row for row in rows if row["purpose"] in ("search", "baseline")]
    if len(counted) != trials:
        found.append(f"{len(counted)} trials count, {trials} were wanted")
    if crashed := [row["trial_id"] for row in rows if row["status"] == "crashed"]:
        found.append(f"trials {crashed} crashed for good")
    verified = subprocess.run([*NAS, "verify", str(run)], capture_output=True, text=True, check=False)
    return found if verified.returncode == 0 else [*found, f"nas verify: {verified.stdout}{verified.stderr}"]


def searched(
    folder: Path, server: str, trials: int, rng: random.Random, moments: Moments
) -> list[str] | None:
    """One search whose server is killed: what was not good; None if it ended before it was killed."""
    files, run, log = folder / "ray", folder / "run", folder / "screen.txt"
    files.mkdir(parents=True)
    command = [*NAS, "search", "quick", "--run", str(run)]
    for setting in (f"budget.trials={trials}", "recipe.epochs=1", "baseline=1", "finalists=null"):
        command += ["--set", setting]
    with log.open("wb") as screen:
        search = subprocess.Popen(
            command, stdout=screen, stderr=screen, env={**os.environ, "RAY_TMPDIR": str(files)}
        )
        if not killed(server, files, search, rng, moments):
            return None
        try:
            code = search.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            search.kill()
            return [f"has not ended for {PATIENCE:g} s"]
    found = faults_of(run, log.read_text(), code, trials)
    time.sleep(10)
    return [*found, f"left over: {left}"] if (left := ray_processes(files)) else found


def main() -> int:
    """Runs them and prints counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--searches", type=int, default=20)
    parser.add_argument("--trials", type=int, default=6)
    parser.add_argument("--moments", type=float, default=15.0, help="seconds in which a server is killed")
    parser.add_argument("--starting", action="store_true", help="kill servers while Ray starts")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder of the runs (default: a temporary one)")
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    good, tried = Counter[str](), Counter[str]()
    with tempfile.TemporaryDirectory(prefix="k-") as temporary:
        number = 0
        while tried.total() < arguments.searches:
            server = SERVERS[tried.total() % len(SERVERS)]
            folder = (arguments.keep or Path(temporary)) / str(number)
            number += 1
            started = time.monotonic()
            moments = Moments(server if arguments.starting else WORKER, arguments.moments)
            found = searched(folder.absolute(), server, arguments.trials, rng, moments)
            words = "ended before" if found is None else "; ".join(found) or "good"
            print(f"{server:10}  {time.monotonic() - started:4.0f} s  {words}", flush=True)
            if found is not None:
                tried[server] += 1
                good[server] += not found
    for server in SERVERS:
        print(f"{server} killed: {good[server]} of {tried[server]} searches met their budget by themselves")
    return int(good != tried)


if __name__ == "__main__":
    sys.exit(main())

"""Chaos: a search of small real trials on local Ray nodes; workers, nodes and the driver are killed.

    python tests/chaos.py [--minutes 30] [--trials 200] [--seconds 20] [--seed 0] [--run FOLDER]

Every `seconds` or so one of: a worker is killed (-9), a worker is stopped, a node is removed and another one
added, the driver is killed (-9) and started again. After `minutes` nothing more is killed, and the search
runs to its end. Then every ask must have one row, the budget must be met exactly, and `nas verify` must find
nothing. Ends with exit code 1 otherwise; the seed repeats the order of events, not their moments.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from trials.store import RunStore

NAS = [sys.executable, "-c", "from nas.cli import main; main()"]
FAULTS = ("worker killed", "worker stopped", "node lost", "driver killed")
WEIGHTS = (0.45, 0.1, 0.25, 0.2)


class Nodes:
    """A head without slots and nodes of two (logical) cores each."""

    def __init__(self, number: int) -> None:
        from ray.cluster_utils import Cluster

        self.cluster: Any = Cluster(
            initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False}
        )
        self.nodes = [self.cluster.add_node(num_cpus=1) for _ in range(number)]

    def lose_one_and_add_one(self, rng: np.random.Generator) -> None:
        """The new one comes two seconds later."""
        node = self.nodes.pop(int(rng.integers(len(self.nodes))))
        self.cluster.remove_node(node, allow_graceful=False)
        time.sleep(2)
        self.nodes.append(self.cluster.add_node(num_cpus=1))


class Driver:
    """The search's own process, which is started again wherever it ended before its time."""

    def __init__(self, arguments: argparse.Namespace, address: str) -> None:
        self.command = [
            *NAS, "search", "quick", "--run", str(arguments.run), "--ray-address", address,
            "--set", f"budget.trials={arguments.trials}", "--set", "baseline=4", "--set", "stall_timeout=15",
            "--set", f"checkpoint_dir={arguments.run}-checkpoints",
        ]  # fmt: skip
        self.log = Path(f"{arguments.run}.log")
        self.starts = 0
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        self.starts += 1
        with self.log.open("ab") as log:
            return subprocess.Popen(self.command, stdout=log, stderr=log)

    def kill(self) -> None:
        """At whatever it does."""
        self.process.kill()
        self.process.wait()
        self.process = self._start()

    def is_done(self) -> bool:
        """Whether the search has ended; what ended otherwise is started again."""
        code = self.process.poll()
        if code is None:
            return False
        if code == 0:
            return True
        print(f"the driver ended with exit code {code}", flush=True)
        self.process = self._start()
        return False


def workers() -> list[int]:
    """Processes of all actors on this machine, by the title that Ray gives them."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if entry.read_bytes().startswith(b"ray::RayWorker"):
                found.append(int(entry.parent.name))
        except OSError:
            continue
    return found


def strike(fault: str, nodes: Nodes, driver: Driver, rng: np.random.Generator) -> bool:
    """Does the harm; whether there was somebody to harm."""
    if fault == "driver killed":
        driver.kill()
    elif fault == "node lost":
        nodes.lose_one_and_add_one(rng)
    else:
        there = workers()
        if not there:
            return False
        pid = there[int(rng.integers(len(there)))]
        os.kill(pid, signal.SIGSTOP if fault == "worker stopped" else signal.SIGKILL)
    return True


def faults_of(run: Path, trials: int) -> list[str]:
    """What is wrong with the run at the end."""
    with RunStore(run) as store:
        rows, open_asks = list(store.trials.values()), store.in_flight()
        quarantined = store.quarantined
    counted = [row for row in rows if row["status"] in ("completed", "stopped", "infeasible")]
    counted = [row for row in counted if row["purpose"] in ("search", "baseline")]
    found = []
    if len(counted) != trials:
        found.append(f"{len(counted)} trials count, {trials} were wanted")
    if open_asks:
        found.append(f"{len(open_asks)} asks have no row")
    if crashed := [row["trial_id"] for row in rows if row["status"] == "crashed"]:
        found.append(f"trials {crashed} crashed for good")
    if quarantined:
        found.append(f"{len(quarantined)} parts were damaged")
    seqs = sorted([row["ask_seq"] for row in rows] + [row["tell_seq"] for row in rows])
    if seqs != list(range(len(seqs))):
        found.append("the order of asks and tells has gaps or repeats")
    verified = subprocess.run([*NAS, "verify", str(run)], capture_output=True, text=True, check=False)
    if verified.returncode:
        found.append(f"nas verify: {verified.stdout}{verified.stderr}")
    return found


def main() -> int:
    """Runs it and reports."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--run", type=Path, default=Path("runs/chaos"))
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    nodes = Nodes(2)
    driver = Driver(arguments, nodes.cluster.address)
    started, done = time.monotonic(), Counter[str]()
    ends = started + 60 * arguments.minutes
    while not driver.is_done():
        pause = time.monotonic() + arguments.seconds * float(rng.uniform(0.5, 1.5))
        while time.monotonic() < pause and not driver.is_done():
            time.sleep(0.5)
        if time.monotonic() < ends and driver.process.poll() is None:
            fault = str(rng.choice(FAULTS, p=WEIGHTS))
            if strike(fault, nodes, driver, rng):
                done[fault] += 1
                print(f"{time.monotonic() - started:6.0f} s  {fault}", flush=True)
    found = faults_of(arguments.run, arguments.trials)
    with RunStore(arguments.run) as store:
        attempts = Counter(row["attempts"] for row in store.trials.values())
    print(
        json.dumps(
            {"seconds": round(time.monotonic() - started), "faults": done, "driver_starts": driver.starts}
        )
    )
    print(f"trials by attempts: {dict(sorted(attempts.items(), key=str))}")
    print("\n".join(found) or "nothing was lost, nothing counted twice, the budget is met")
    nodes.cluster.shutdown()
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())

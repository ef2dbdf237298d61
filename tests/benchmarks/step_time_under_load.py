"""Step time while others compute: ours and the naive way, against the same networks timed in quiet.

    python tests/benchmarks/step_time_under_load.py [--networks 12] [--visits 2] [--picture FILE.png]

Loads, one after the other: *cores* (a network trains on every other core of the machine; on a GPU machine
they multiply matrices), *device* (a network trains on the very device, and does not know of our lock), *lock*
(the same, but it does as our trainers do and gives way). Naive is what a script does: the network alone, one
step to warm up, ten steps by the wall clock; its S is that over the reference's, timed once in quiet. Ours is
measured as in a trial, its neighbours where it finds them.
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "fixtures"))
from timed_networks import SEED, Bench, add_conditions, drawn, percent

from search_spaces.choices.space import SearchSpace
from search_spaces.networks.architecture import Architecture
from search_spaces.settings.yaml_files import read_yaml
from trials.devices.device import available_cores, clock_of
from trials.devices.sharing import give_way, training

CORES = available_cores()  # before this process binds itself to one
LOADS = ("cores", "device", "lock")
NAIVE_STEPS = 10
NEAR = 0.03  # of the quiet value
TICKS = (0.1, 0.2, 0.3, 0.5, 1, 2, 3, 5, 10)
Visits = dict[str, list[dict[str, Any]]]  # by load


def naive_seconds(bench: Bench, architecture: Architecture) -> float:
    """Wall seconds of a step of the network alone."""
    step = bench.step(architecture)
    step(bench.batch.images, bench.batch.labels)
    synchronise(bench)
    started = time.perf_counter()
    for _ in range(NAIVE_STEPS):
        step(bench.batch.images, bench.batch.labels)
    synchronise(bench)
    return (time.perf_counter() - started) / NAIVE_STEPS


def synchronise(bench: Bench) -> None:
    """Waits for a GPU."""
    clock_of(bench.device)()


def neighbour(arguments: argparse.Namespace) -> None:
    """Trains for ever: on the device, with or without the lock, or on the core that it is given."""
    space = read_yaml(SearchSpace, arguments.space)
    bench = Bench(space.reference, arguments)
    step = bench.step(drawn(space, 1)[0])
    if arguments.neighbour == "lock":
        with training(bench.lock) as turn:
            print("trains", flush=True)
            while True:
                step(bench.batch.images, bench.batch.labels)
                give_way(turn)
    print("trains", flush=True)
    while True:
        step(bench.batch.images, bench.batch.labels)


def multiply() -> None:
    """Keeps one core busy for ever."""
    matrix = torch.rand(1024, 1024)
    print("multiplies", flush=True)
    while True:
        matrix @ matrix


@contextmanager
def under(load: str, arguments: argparse.Namespace) -> Iterator[None]:
    """Neighbours that compute as long as the block runs."""
    given = {"--device": arguments.device, "--core": arguments.core}
    starts: list[dict[str, object]] = []
    if load in ("device", "lock"):
        starts = [{**given, "--neighbour": load}]
    elif load == "cores":
        work = "multiply" if arguments.device.startswith("cuda") else "device"
        others = [core for core in CORES if core != arguments.core]
        starts = [{"--device": "cpu", "--core": core, "--neighbour": work} for core in others]
    conditions = {
        "--space": arguments.space,
        "--resolution": arguments.resolution,
        "--batch-size": arguments.batch_size,
        "--precision": arguments.precision,
    }
    processes = [
        subprocess.Popen(
            [sys.executable, __file__, *(str(x) for pair in {**conditions, **start}.items() for x in pair)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for start in starts
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            process.stdout.readline()
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def measure(bench: Bench, architectures: list[Architecture], arguments: argparse.Namespace) -> Visits:
    """All visits under all loads."""
    rng = np.random.default_rng(SEED)
    found: Visits = {}
    for load in ("quiet", *arguments.loads):
        found[load] = []
        with under(load, arguments):
            for _ in range(arguments.visits):
                for i in map(int, rng.permutation(len(architectures))):
                    naive = naive_seconds(bench, architectures[i])
                    with bench.lock.timing() as waited:
                        ours = bench.visit(architectures[i])
                    visit = {"network": i, "naive": naive, "ours": ours.step_time_ratio, "flag": ours.flag}
                    visit |= {"error": ours.step_time_ratio_error, "waited": waited}
                    found[load].append({**visit, "cost": ours.timing_seconds, "rounds": ours.rounds})
        print(f"{load}: {len(found[load])} visits", flush=True)
    return found


def quiet_values(visits: Visits, key: str) -> dict[int, float]:
    """The median in quiet, by network."""
    values: dict[int, list[float]] = {}
    for visit in visits["quiet"]:
        values.setdefault(visit["network"], []).append(visit[key])
    return {network: statistics.median(found) for network, found in values.items()}


def deviations(visits: Visits, load: str, key: str, *, unflagged: bool = False) -> list[float]:
    """How far the values under a load are from the quiet ones, as a share of these."""
    quiet = quiet_values(visits, key)
    return [
        visit[key] / quiet[visit["network"]] - 1
        for visit in visits[load]
        if not (unflagged and visit["flag"])
    ]


def row(name: str, found: list[float], of: int) -> str:
    """One line of the table."""
    sizes = sorted(map(abs, found)) or [float("nan")]
    near = sum(size <= NEAR for size in sizes)
    return (
        f"  {name:<16} n = {len(found):>3} of {of}: within 3 % {near / max(len(found), 1):6.1%}, "
        f"off by: median {percent(statistics.median(sizes))}, most {percent(sizes[-1])}"
    )


def draw(visits: Visits, reference: float, headline: str, file: Path) -> None:
    """S in quiet and under load: naive on the left, ours on the right."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.ticker import FixedLocator, NullLocator

    figure, panels = pyplot.subplots(1, 2, figsize=(11, 5.2), sharex=True, sharey=True)
    for panel, key, scale, title in (
        (panels[0], "naive", reference, "naive: alone, 10 steps, wall clock"),
        (panels[1], "ours", 1.0, "ours: in turn with the reference"),
    ):
        quiet = {network: value / scale for network, value in quiet_values(visits, key).items()}
        for load, colour in zip(LOADS, ("tab:blue", "tab:red", "tab:green"), strict=True):
            shown = [v for v in visits.get(load, []) if key == "naive" or not v["flag"]]
            hidden = [v for v in visits.get(load, []) if key == "ours" and v["flag"]]
            for part, face, label in ((shown, colour, load), (hidden, "none", f"{load}, flagged")):
                if part:
                    panel.scatter(
                        [quiet[v["network"]] for v in part],
                        [v[key] / scale for v in part],
                        s=24,
                        facecolors=face,
                        edgecolors=colour,
                        label=label,
                    )
        ends = [0.9 * min(quiet.values()), 1.1 * max(quiet.values())]
        panel.plot(ends, ends, color="grey", linewidth=0.8)
        panel.set(xscale="log", yscale="log", title=title, xlabel="S in quiet")
        for axis in (panel.xaxis, panel.yaxis):
            axis.set_major_locator(FixedLocator(TICKS))
            axis.set_major_formatter("{x:g}")
            axis.set_minor_locator(NullLocator())
        panel.legend(frameon=False)
    panels[0].set_ylabel("S under load")
    figure.suptitle(headline, fontsize=9)
    figure.tight_layout()
    figure.savefig(file, dpi=130)


def main() -> None:
    """Prints for each load how many values can be used, and how far they are off."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--space", default="cifar")
    parser.add_argument("--networks", type=int, default=12)
    parser.add_argument("--visits", type=int, default=2, help="of a network under each load")
    parser.add_argument("--loads", nargs="+", choices=LOADS, default=LOADS)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--neighbour", choices=["device", "lock", "multiply"], help=argparse.SUPPRESS)
    add_conditions(parser)
    arguments = parser.parse_args()
    if arguments.neighbour == "multiply":
        torch.set_num_threads(1)
        multiply()
    if arguments.neighbour:
        neighbour(arguments)
    space = read_yaml(SearchSpace, arguments.space)
    bench = Bench(space.reference, arguments)
    reference = naive_seconds(bench, space.reference)
    visits = measure(bench, drawn(space, arguments.networks), arguments)

    headline = f"{bench.headline}; {arguments.networks} networks of {arguments.space}"
    print(f"\n{headline}, {arguments.visits} visits under each load")
    for load, found in visits.items():
        flagged = sum(visit["flag"] is not None for visit in found)
        costs = [visit["cost"] for visit in found]
        print(
            f"{load}: {1 - flagged / len(found):.1%} unflagged; "
            f"cost: median {statistics.median(costs):.2f} s, most {max(costs):.2f} s; "
            f"waited {sum(visit['waited'] for visit in found):.1f} s in all"
        )
        print(row("ours, unflagged", deviations(visits, load, "ours", unflagged=True), len(found)))
        print(row("ours, all", deviations(visits, load, "ours"), len(found)))
        print(row("naive", deviations(visits, load, "naive"), len(found)))
    if arguments.picture:
        draw(visits, reference, headline, arguments.picture)
    bench.write({"visits": visits, "naive_reference_seconds": reference})


if __name__ == "__main__":
    main()

"""A case study's table and picture: comparisons of one data set put together, as paired seeds on test images.

    python tests/benchmarks/case_study.py compare/cifar10 compare/cifar10_more --measured step_times.json \
        [--picture FILE.png] [--search runs/winner --search runs/random]

The folders are those of `nas compare … --test …` with the same images, recipe and seeds; the first network of
the first folder is the one that all others are compared with. Step times are those of one `nas measure
--json` of all networks, so that they are ratios to one network, measured side by side.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.intervals import Estimate
from analysis.numbers import short_count
from analysis.paired import PairedDifference, mean_of_seeds, paired_differences
from analysis.plots import COLOURS
from analysis.rank_correlation import kendall_tau

MARKERS = "osD^vP*X<>"


@dataclass(frozen=True)
class Compared:
    """A network of the study.

    Attributes:
        accuracies: on the test images (0-1), by seed.
        ratio: step time over the first network's.
        seconds: of a whole training, as the machine had it.
    """

    name: str
    params: int
    macs: int
    ratio: float
    seconds: float
    accuracies: dict[int, float]

    @property
    def mean(self) -> Estimate:
        return mean_of_seeds(np.array(list(self.accuracies.values())))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--measured", type=Path, required=True)
    parser.add_argument("--search", action="append", default=[], type=Path)
    parser.add_argument("--epochs", type=int, default=30, help="of the full trainings")
    parser.add_argument("--picture", type=Path)
    arguments = parser.parse_args()
    networks = read_networks(arguments.folders, arguments.measured)
    differences = paired_differences(networks[0].accuracies, [each.accuracies for each in networks[1:]])
    print_table(networks, differences)
    for run in arguments.search:
        print_cost(run, epochs=arguments.epochs)
    if arguments.picture is not None:
        draw(networks, arguments.picture)


def read_networks(folders: list[Path], measured: Path) -> list[Compared]:
    """The networks of all folders, in their order."""
    times = {each["name"]: each for each in json.loads(measured.read_text())["networks"]}
    networks: list[Compared] = []
    conditions: list[Any] = []
    for folder in folders:
        figures = json.loads((folder / "comparison.json").read_text())
        conditions.append((figures["data"], figures["equal"], figures["conditions"]["resolution"]))
        for network in figures["networks"]:
            seeds = {each["seed"]: each["test_accuracy"] for each in network["trainings"]}
            if None in seeds.values():
                raise SystemExit(f"{folder}: {network['name']} has no test images; compare with --test")
            networks.append(
                Compared(
                    name=network["name"],
                    params=network["params"],
                    macs=network["macs"],
                    ratio=times[network["name"]]["step_time_ratio"],
                    seconds=network["seconds"],
                    accuracies=seeds,
                )
            )
    if len(set(map(str, conditions))) > 1:
        raise SystemExit(f"these comparisons have different conditions: {conditions}")
    first = networks[0].ratio
    return [Compared(**{**vars(each), "ratio": each.ratio / first}) for each in networks]


def print_table(networks: list[Compared], differences: list[PairedDifference]) -> None:
    """A Markdown table, the first network first, the others by accuracy."""
    print("| network | step time | parameters | MACs | n | test accuracy [95 %] | minus the first, paired |")
    print("|---|---|---|---|---|---|---|")
    rows = [
        (networks[0], None),
        *sorted(zip(networks[1:], differences, strict=True), key=lambda row: -row[0].mean.value),
    ]
    for network, difference in rows:
        cells = [
            network.name, f"{network.ratio:.2f} x", short_count(network.params), short_count(network.macs),
            str(len(network.accuracies)), _words(network.mean, "{:.4f}"),
        ]  # fmt: skip
        if difference is None:
            cells.append("")
        else:
            cells.append(_words(difference.difference, "{:+.4f}") + " sure" * difference.is_sure)
        print("| " + " | ".join(cells) + " |")


def _words(figure: Estimate, form: str) -> str:
    """A figure with its interval, where there is one."""
    interval = "" if np.isnan(figure.low) else f" [{form.format(figure.low)}, {form.format(figure.high)}]"
    return form.format(figure.value) + interval


def print_cost(run: Path, *, epochs: int) -> None:
    """Cost of a search over one full training of its winner, and tau of its short trials with its finalists.

    Cost counts training steps by the step times that were measured, so that it does not depend on what else
    the machine did; timing and evaluation are left out on both sides.
    """
    rows = pd.read_parquet(run / "trials.parquet")
    rows = rows[rows["status"] == "completed"]
    steps = rows["step_time_ratio"] * rows["epochs"]
    longer = rows[rows["purpose"] == "finalist"]
    best = longer.loc[longer["reward"].idxmax()]
    cost = steps.sum() / (best["step_time_ratio"] * epochs)
    short = rows[rows["purpose"] != "finalist"].drop_duplicates("architecture_id")
    paired = longer.merge(short, on="architecture_id", suffixes=("", "_short"))
    for figure in ("reward", "accuracy"):
        tau = kendall_tau(paired[f"{figure}_short"].tolist(), paired[figure].tolist())
        print(f"{run}: tau of {figure}, {len(paired)} finalists: {tau:.2f}")
    print(
        f"{run}: {len(short)} trials, {len(longer)} finalists: {steps.sum():,.0f} epochs of the reference, "
        f"{cost:.1f} trainings of its winner of {epochs} epochs"
    )


def draw(networks: list[Compared], path: Path) -> None:
    """Accuracy with its interval against step time."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.2), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for i, network in enumerate(networks):
        mean = network.mean
        axes.errorbar(
            network.ratio, 100 * mean.value,
            yerr=[[100 * (mean.value - mean.low)], [100 * (mean.high - mean.value)]],
            fmt=MARKERS[i % len(MARKERS)], color=COLOURS[i % len(COLOURS)], markersize=9 if i == 0 else 6,
            capsize=3, label=f"{network.name} ({short_count(network.params)})", zorder=3 if i == 0 else 2,
        )  # fmt: skip
    axes.set_xlabel("training step time, times the winner's")
    axes.set_ylabel("test accuracy (%)")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(
        frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5), title="network (parameters)"
    )
    figure.savefig(path, metadata={"Software": None})


if __name__ == "__main__":
    main()

"""Real searches with several strategies at equal device-seconds, their winners trained again.

    python tests/benchmarks/real_searches.py SOURCE FOLDER [--device-seconds 900] [--seeds 1]
        [--strategies random_search evolution policy_gradient] [--search nas/searches/cifar10.yaml]
        [--set key.path=value ...]

Each search is a run of its own in FOLDER (one that is there already is continued to its budget), with its
finalists trained again with other seeds: their means are compared, with 95 % intervals. The picture shows the
best reward so far against device-seconds, and how often the winners' stages are fused. Searches of several
seeds take turns, so that what changes on the machine meanwhile meets all strategies.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from analysis.finalists import finalists, standings
from analysis.seed_curves import COLOURS, interval
from nas.commands.search import launch_search
from nas.search.config import read_search_config
from trials.log.rows import device_seconds

# Of populations and batches for a hundred trials rather than a thousand.
EVOLUTION = {"population": 25, "tournament": 5}
SETTINGS: dict[str, dict[str, Any]] = {
    "evolution": EVOLUTION,
    # Wants `--set recipe.schedule=constant`: a schedule that knows its end makes short trials other trials.
    "successive_halving": {"over": {"name": "evolution", **EVOLUTION}, "eta": 2, "min_epochs": 2},
}
POINTS = 200


def best_so_far(rows: list[dict[str, Any]], at: np.ndarray) -> np.ndarray:
    """The best reward of search and baseline trials after so many device-seconds; 0 before the first."""
    told = [row for row in rows if row["purpose"] in ("search", "baseline") and row["status"] != "cached"]
    told.sort(key=lambda row: row["tell_seq"])
    spent = np.cumsum([device_seconds(row) for row in told])
    best = np.maximum.accumulate([row["reward"] or 0.0 for row in told])
    places = np.searchsorted(spent, at, side="right")
    return np.array([best[place - 1] if place else 0.0 for place in places])


def fused(row: dict[str, Any]) -> str:
    """Of each stage: F or M for its op, its expansion ratio, and its layers."""
    stages = json.loads(row["architecture"])["stages"]

    def word(stage: dict[str, Any]) -> str:
        expansion, kernel = stage.get("expansion_ratio", 1), stage.get("kernel_size", 3)
        return f"{stage['op'][0].upper()}{expansion:g}k{kernel}x{stage['layers']}"

    return " ".join(map(word, stages))


def picture(curves: dict[str, np.ndarray], at: np.ndarray, path: Path) -> None:
    """Mean over seeds of the best reward so far, single searches faint."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    for colour, (name, values) in zip(COLOURS, curves.items(), strict=False):
        axes.plot(at, values.T, color=colour, alpha=0.3, linewidth=0.8)
        axes.plot(at, values.mean(axis=0), color=colour, linewidth=2, label=name)
    axes.set(xlabel="device-seconds", ylabel="best reward so far")
    positive = np.concatenate([values[values > 0].ravel() for values in curves.values()])
    axes.set_ylim(float(np.quantile(positive, 0.02)) * 0.98, float(positive.max()) * 1.01)
    axes.grid(color="0.92")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="upper left")
    figure.savefig(path)


def main() -> None:
    """Searches, prints, draws."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--device-seconds", type=float, default=900)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--strategies", nargs="+", default=["random_search", "evolution", "policy_gradient"])
    parser.add_argument("--search", default="nas/searches/cifar10.yaml")
    parser.add_argument("--set", nargs="*", default=[])
    arguments = parser.parse_args()
    runs: dict[str, list[list[dict[str, Any]]]] = {name: [] for name in arguments.strategies}
    overrides = {
        (name, seed): [
            f"data.source={arguments.source}",
            f"strategy={json.dumps({'name': name, **SETTINGS.get(name, {})})}",
            f"budget={{device_seconds: {arguments.device_seconds}}}",
            f"seed={seed}",
            *arguments.set,
        ]
        for seed in range(arguments.seeds)
        for name in arguments.strategies
    }
    for each in overrides.values():
        read_search_config(arguments.search, overrides=each)  # what is wrong is said before hours have passed
    for seed in range(arguments.seeds):
        for name in arguments.strategies:
            result = launch_search(
                arguments.search,
                arguments.folder / f"{name}-{seed}",
                overrides=overrides[name, seed],
                workers=None,
                ray_address=None,
                console=Console(stderr=True),
            )
            runs[name].append(result.rows)
    at = np.linspace(0, arguments.device_seconds, POINTS + 1)[1:]
    curves = {name: np.array([best_so_far(rows, at) for rows in found]) for name, found in runs.items()}
    for name, found in runs.items():
        for seed, rows in enumerate(found):
            told = [
                row
                for row in rows
                if row["purpose"] in ("search", "baseline") and row["status"] == "completed"
            ]
            rewards = [row["reward"] for row in told]
            print(
                f"{name} {seed}: {len(told)} trials, reward median {np.median(rewards):.4f}, best "
                f"{max(rewards):.4f}; last quarter's median {np.median(rewards[-len(rewards) // 4 :]):.4f}"
            )
            for place in standings(finalists(rows))[:3]:
                best = next(row for row in rows if row["trial_id"] == place.finalist.trial_id)
                print(
                    f"    trial {place.finalist.trial_id}: repeated {place.finalist.mean:.4f} "
                    f"[{place.low or 0:.4f}, {place.high or 0:.4f}], accuracy "
                    f"{np.mean(place.finalist.accuracies):.4f}, step {best['step_time_ratio']:.2f}x, "
                    f"{best['params']:,} parameters: {fused(best)}"
                )
        ends = interval(curves[name][:, -1])
        half = "" if ends.half_width is None else f" +- {ends.half_width:.4f}"
        print(f"{name}: best at the end {ends.mean:.4f}{half} (n = {len(found)})")
    picture(curves, at, arguments.folder / "searches.png")


if __name__ == "__main__":
    main()

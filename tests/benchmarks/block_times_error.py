"""How well a table of block times predicts networks that its fit has not seen; beside FLOPs + parameters.

    python tests/benchmarks/block_times_error.py FOLDER [--space cifar] [--batch-size 128] [--resolution 32]
        [--networks 24] [--seconds 220]

Builds the table as `nas measure --table` does, then measures further networks as a trial does. The plain fit
sees the table's whole networks too: a + b * MACs + c * parameters, by relative least squares. What has been
measured is kept in FOLDER, so that the whole may be done in pieces of `--seconds`; the last piece writes
block_times_error.json and, where matplotlib is installed, block_times_error.png.
Ends with exit code 1 if the error is above 5 %, Kendall's tau below 0.95, or the plain fit not 3 times worse.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from analysis.rank_correlation import kendall_tau
from search_spaces.choices.space import SearchSpace
from search_spaces.networks.architecture import Architecture
from search_spaces.networks.counting import count
from search_spaces.settings.yaml_files import read_yaml, to_mapping
from trials.devices.device import available_slots, claim, device_info
from trials.recipe import Ramp, Recipe
from trials.timing.block_fit import Fit, fit_table
from trials.timing.block_table import BlockTable, PartedNetwork, WholeNetwork, read_table, write_table
from trials.timing.block_times import (
    BlockMeasurement,
    BlockTimer,
    covering,
    drawn_networks,
    table_conditions,
)
from trials.timing.precision import choose_precision
from trials.training.step import kernels_of_steps

MUST_ERROR, MUST_TAU, MUST_TIMES = 0.05, 0.95, 3.0
STATE = "measured.json"  # a table whose whole networks include those that are predicted


def wanted_measurement(arguments: argparse.Namespace) -> BlockMeasurement:
    """What is measured, under the conditions of the arguments, on this machine's first slot."""
    space = read_yaml(SearchSpace, arguments.space)
    side, slot = arguments.resolution, available_slots()[0]
    device = claim(slot)
    recipe = Recipe(
        epochs=1, batch_size=arguments.batch_size, resolution=Ramp(side, side), averaging_decay=0.999
    )
    conditions = table_conditions(
        space,
        recipe,
        device_name=device_info(slot).device_name,
        precision=choose_precision("auto", device, reference=space.reference, resolution=side).precision,
        batch_size=arguments.batch_size,
        resolution=side,
        num_classes=10,
        kernels=kernels_of_steps(device, "auto"),
    )
    return BlockMeasurement(space=space, conditions=conditions, recipe=recipe, device=device)


def measured_so_far(wanted: BlockMeasurement, folder: Path) -> tuple[list[Any], list[Any], float]:
    """Networks in parts, whole networks, and the seconds that the table took, of earlier pieces."""
    if not (folder / STATE).is_file():
        return [], [], 0.0
    kept = read_table(folder / STATE)
    if kept.conditions != wanted.conditions:
        sys.exit(f"{folder}: holds measurements of other conditions; choose another folder")
    return list(kept.parted), list(kept.whole), kept.provenance["table_seconds"]


def measure_piece(wanted: BlockMeasurement, folder: Path, networks: int, seconds: float) -> BlockTable | None:
    """Goes on measuring for so long; None if it is not done then."""
    parted, whole, table_seconds = measured_so_far(wanted, folder)
    started = time.perf_counter()
    timer = BlockTimer(wanted, None)
    shown, drawn = covering(wanted), drawn_networks(wanted, wanted.whole_networks + networks)
    while len(parted) < len(shown) or len(whole) < len(drawn):
        if time.perf_counter() - started > seconds:
            print(f"{len(parted)} of {len(shown)} in parts, {len(whole)} of {len(drawn)} whole; go on later")
            return None
        before = time.perf_counter()
        if len(parted) < len(shown):
            parted.append(timer.parted(shown[len(parted)]))
        else:
            whole.append(timer.whole(drawn[len(whole)]))
        if len(whole) <= wanted.whole_networks:
            table_seconds += time.perf_counter() - before
        write_table(_table(wanted, parted, whole, table_seconds), folder / STATE)
    return _table(wanted, parted, whole, table_seconds)


def _table(
    wanted: BlockMeasurement, parted: list[PartedNetwork], whole: list[WholeNetwork], seconds: float
) -> BlockTable:
    return BlockTable(
        conditions=wanted.conditions,
        space=wanted.space,
        parted=tuple(parted),
        whole=tuple(whole),
        provenance={"table_seconds": seconds, "cuda": torch.version.cuda},
    )


def plain_fit(seen: list[WholeNetwork], unseen: list[WholeNetwork], fit: Fit) -> np.ndarray:
    """Step time ratios of the unseen by a + b * MACs + c * parameters."""

    def rows(networks: list[WholeNetwork]) -> np.ndarray:
        return np.array([_costs(network.architecture, fit) for network in networks])

    ratios = np.array([network.step_time_ratio for network in seen])
    coefficients, *_ = np.linalg.lstsq(rows(seen) / ratios[:, None], np.ones(len(seen)), rcond=None)
    return rows(unseen) @ coefficients


def _costs(architecture: Architecture, fit: Fit) -> tuple[float, float, float]:
    conditions = fit.table.conditions
    counts = count(architecture, num_classes=conditions.num_classes, resolution=conditions.resolution)
    return 1.0, counts.macs / 1e8, counts.params / 1e6


def evaluated(table: BlockTable, wanted: BlockMeasurement) -> dict[str, Any]:
    """All figures; the table's whole networks that come after the fit's are predicted."""
    seen, unseen = list(table.whole[: wanted.whole_networks]), list(table.whole[wanted.whole_networks :])
    fit = fit_table(_table(wanted, list(table.parted), seen, 0.0))
    measured = np.array([network.step_time_ratio for network in unseen])
    predicted, errors = np.array([fit.predict(network.architecture) for network in unseen]).T
    plain = plain_fit(seen, unseen, fit)
    return {
        **to_mapping(table.conditions),
        "table_seconds": table.provenance["table_seconds"],
        "networks_in_parts": len(table.parted),
        "networks_of_the_fit": len(seen),
        "leave_one_out_error": fit.error,
        "networks": len(unseen),
        "error": float(np.mean(np.abs(predicted / measured - 1))),
        "error_at_most": float(np.max(np.abs(predicted / measured - 1))),
        "tau": kendall_tau(predicted.tolist(), measured.tolist()),
        "within_two_error_bars": float(np.mean(np.abs(predicted - measured) <= 2 * errors)),
        "plain_error": float(np.mean(np.abs(plain / measured - 1))),
        "plain_tau": kendall_tau(plain.tolist(), measured.tolist()),
        "median_spread": float(np.median([network.step_time_ratio_spread for network in unseen])),
        "flagged": sum(network.timing_flag is not None for network in unseen),
        "measured": measured.tolist(),
        "predicted": predicted.tolist(),
        "predicted_error_bars": errors.tolist(),
        "plain": plain.tolist(),
    }


def picture(figures: dict[str, Any], path: Path) -> None:
    """Predicted against measured ratios, both fits side by side."""
    try:
        import matplotlib
    except ImportError:
        print("no picture: matplotlib is not installed")
        return
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, 2, figsize=(9, 4.5), sharex=True, sharey=True)
    most = 1.1 * max(figures["measured"] + figures["predicted"])
    for panel, name, title in zip(
        panels, ("predicted", "plain"), ("block times", "MACs + parameters"), strict=True
    ):
        bars = [2 * e for e in figures["predicted_error_bars"]] if name == "predicted" else None
        panel.plot([0, most], [0, most], color="0.7", linewidth=1)
        panel.errorbar(figures["measured"], figures[name], yerr=bars, fmt="o", markersize=4, linewidth=1)
        error = figures["error" if name == "predicted" else "plain_error"]
        tau = figures["tau" if name == "predicted" else "plain_tau"]
        panel.set_title(f"{title}: {error:.1%} off, tau {tau:.2f} (n {figures['networks']})", fontsize=10)
        panel.set_xlabel("measured step time / reference")
        panel.set(xlim=(0, most), ylim=(0, most))
    panels[0].set_ylabel("predicted step time / reference")
    figure.suptitle(
        f"{figures['device_name']}, {figures['precision']}, batch {figures['batch_size']}", fontsize=9
    )
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def main() -> int:
    """Measures for a while; when all is there, prints and writes the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--space", default="cifar")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--resolution", type=int, default=32)
    parser.add_argument("--networks", type=int, default=24)
    parser.add_argument("--seconds", type=float, default=1e9)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    wanted = wanted_measurement(arguments)
    table = measure_piece(wanted, arguments.folder, arguments.networks, arguments.seconds)
    if table is None:
        return 0
    figures = evaluated(table, wanted)
    (arguments.folder / "block_times_error.json").write_text(json.dumps(figures, indent=1) + "\n")
    picture(figures, arguments.folder / "block_times_error.png")
    print(
        f"table built in {figures['table_seconds'] / 60:.1f} min; n = {figures['networks']} unseen networks"
    )
    print(f"block times         {figures['error']:.2%} off, tau {figures['tau']:.3f}")
    print(f"MACs + parameters   {figures['plain_error']:.2%} off, tau {figures['plain_tau']:.3f}")
    good = (
        figures["error"] <= MUST_ERROR
        and figures["tau"] >= MUST_TAU
        and figures["plain_error"] >= MUST_TIMES * figures["error"]
    )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

"""Table 5, the hypothesis of adaptive regularization: larger images want stronger RandAugment.

    python tests/benchmarks/paper/table5_magnitude.py [SOURCE] [--sizes 128 192 300] [--magnitudes 5 10 15]
        [--network efficientnetv2-b0] [--seeds 5] [--recipe cifar10] [--quick] [--csv FILE] [--png FILE]

Every size is trained with every magnitude, constant both, and evaluated at its own size. Each seed trains all
cells, so that cells are compared seed by seed.
"""

from pathlib import Path
from typing import Any

import numpy as np
from paper_tables import TOY, paper_rows, parser_of, print_comparable, print_table, save_figure, write_csv
from paper_trainings import (
    Training,
    add_training,
    at_its_end,
    base_recipe,
    config_of,
    difference,
    network_of,
    refused,
    shown,
    trained,
)

from analysis.plots import COLOURS
from trials.devices.device import this_device
from trials.recipe import Ramp, Recipe

QUICK = {"sizes": [16, 24], "magnitudes": [5.0, 15.0], "epochs": 1, "seeds": 2, "images": 300}
Cell = tuple[int, float]


def main() -> None:
    """Trains all cells of all seeds, prints the table and the interaction."""
    parser = parser_of(__doc__)
    add_training(parser)
    parser.add_argument("--network", default="efficientnetv2-b0")
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 192, 300])
    parser.add_argument("--magnitudes", type=float, nargs="+", default=[5.0, 10.0, 15.0])
    arguments = parser.parse_args()
    if arguments.quick:
        parser.set_defaults(**QUICK, network=str(TOY))
        arguments = parser.parse_args()
    cells = [(size, magnitude) for size in arguments.sizes for magnitude in arguments.magnitudes]
    with refused(parser):
        network = network_of(arguments.network, arguments)
        recipes = {cell: cell_recipe(*cell, arguments) for cell in cells}
        for recipe in recipes.values():
            config_of(network, recipe, seed=0, arguments=arguments)
    found: dict[Cell, list[Training]] = {cell: [] for cell in cells}
    for seed in range(arguments.seeds):
        for size, magnitude in cells if seed % 2 == 0 else cells[::-1]:
            training = trained(network, recipes[size, magnitude], seed=seed, arguments=arguments)
            found[size, magnitude].append(training)
            print(f"  seed {seed}: {size} px, magnitude {magnitude:g}: {training.accuracy:.4f}", flush=True)
    report(found, arguments)


def cell_recipe(size: int, magnitude: float, arguments: Any) -> Recipe:
    """One stage of one size and one magnitude."""
    ramps = {"resolution": Ramp(size, size), "randaugment": Ramp(magnitude, magnitude)}
    return at_its_end(base_recipe(arguments, num_training_stages=1, **ramps))


def report(found: dict[Cell, list[Training]], arguments: Any) -> None:
    """The table, the best magnitude of each size, the interaction."""
    name = Path(arguments.network).stem
    paper = paper_rows("table5")
    rows = []
    for size in arguments.sizes:
        row: dict[str, Any] = {"size": f"{size} px"}
        for magnitude in arguments.magnitudes:
            row[f"{magnitude:g}"] = shown([one.accuracy for one in found[size, magnitude]])
        means = {m: np.mean([one.accuracy for one in found[size, m]]) for m in arguments.magnitudes}
        row["best"] = f"{max(means, key=lambda m: means[m]):g}"
        if size in paper:
            row["paper"] = ", ".join(f"{m}: {top1} ± {off}" for m, (top1, off) in paper[size].items())
        rows.append(row)
    columns = {"size": "images"}
    columns |= {f"{m:g}": f"magnitude {m:g}" for m in arguments.magnitudes}
    columns |= {"best": "best", "paper": "paper's top-1 by magnitude"}
    print_table(
        f"Table 5: accuracy (%), mean and 95 % interval of {arguments.seeds} seeds, {name}",
        columns,
        rows,
    )
    print(interaction(found, arguments))
    print("the paper's best magnitude: 5 at 128 px, 10 at 192 px, 15 at 300 px; its interaction +1.3 points")
    print_comparable(
        "table5",
        comparable="the direction: whether the best magnitude grows with the size (the interaction's sign)",
        not_comparable="accuracies: other images, network and length than the paper's ImageNet trainings",
        quick=arguments.quick,
    )
    write_csv(
        arguments.csv,
        [
            {
                "size": size, "magnitude": magnitude, "seed": seed, "accuracy": one.accuracy,
                "train_seconds": one.seconds[-1], "network": arguments.network, "source": arguments.source,
                "recipe": arguments.recipe, "epochs": len(one.accuracies), "device_name": this_device(),
            }
            for (size, magnitude), trainings in found.items()
            for seed, one in enumerate(trainings)
        ],
    )  # fmt: skip
    save_figure(arguments.png, lambda axes: draw(axes, found, arguments))


def interaction(found: dict[Cell, list[Training]], arguments: Any) -> str:
    """What the strongest gains over the weakest at the largest size, more than at the smallest, by seed."""
    weak, strong = min(arguments.magnitudes), max(arguments.magnitudes)

    def gain(size: int) -> list[float]:
        pairs = zip(found[size, strong], found[size, weak], strict=True)
        return [one.accuracy - other.accuracy for one, other in pairs]

    small, large = min(arguments.sizes), max(arguments.sizes)
    name = f"interaction: magnitude {strong:g} over {weak:g} gains at {large} px more than at {small} px by"
    return difference(name, gain(large), gain(small))


def draw(axes: Any, found: dict[Cell, list[Training]], arguments: Any) -> None:
    """Accuracy against the magnitude, a line for each size, dots for seeds."""
    for colour, size in zip(COLOURS, arguments.sizes, strict=False):
        means = []
        for magnitude in arguments.magnitudes:
            values = [100 * one.accuracy for one in found[size, magnitude]]
            axes.plot([magnitude] * len(values), values, ".", color=colour, alpha=0.4)
            means.append(np.mean(values))
        axes.plot(arguments.magnitudes, means, "o-", color=colour, label=f"{size} px")
    axes.set(xlabel="RandAugment magnitude", ylabel="minival accuracy (%)")
    axes.set_title(Path(arguments.network).stem)
    axes.legend()


if __name__ == "__main__":
    main()

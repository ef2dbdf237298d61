"""Table 13 and Figure 6: adaptive against fixed regularization, with progressive and with random image sizes.

    python tests/benchmarks/paper/table13_ablation.py [SOURCE] [--schedules progressive random_batch]
        [--network efficientnetv2-b0] [--resolution 64] [--stages 4] [--seeds 5] [--recipe cifar10] [--quick]
        [--csv FILE] [--png FILE]

*adaptive* regularizes by the size of the images, *fixed* always as strongly as the last stage. Random sizes
change with every batch, or as in the paper (`random_epochs`) every eight epochs. The cells take turns seed by
seed; differences are between trainings of one seed.
"""

import dataclasses
from pathlib import Path
from typing import Any

from paper_tables import TOY, paper_rows, parser_of, print_comparable, print_table, write_csv
from paper_trainings import (
    STRENGTHS,
    Training,
    add_training,
    base_recipe,
    config_of,
    difference,
    draw_curves,
    network_of,
    refused,
    shown,
    trained,
)

from trials.devices.device import this_device
from trials.recipe import Ramp, Recipe

SCHEDULES = ("progressive", "random_batch", "random_epochs")
REGULARIZATIONS = ("fixed", "adaptive")
QUICK = {
    "network": str(TOY), "resolution": 24, "stages": 2, "epochs": 2, "seeds": 2, "images": 300,
}  # fmt: skip
Cell = tuple[str, str]


def main() -> None:
    """Trains all cells of all seeds, prints the table."""
    parser = parser_of(__doc__)
    add_training(parser)
    parser.add_argument("--network", default="efficientnetv2-b0")
    parser.add_argument("--schedules", nargs="+", choices=SCHEDULES, default=["progressive", "random_batch"])
    parser.add_argument("--resolution", type=int, default=64, help="the largest")
    parser.add_argument("--start", type=int, help="the smallest (default: half)")
    parser.add_argument("--stages", type=int, default=4, help="or sizes to draw from")
    arguments = parser.parse_args()
    if arguments.quick:
        parser.set_defaults(**QUICK)
        arguments = parser.parse_args()
    cells = [(schedule, how) for schedule in arguments.schedules for how in REGULARIZATIONS]
    with refused(parser):
        adaptive = base_recipe(
            arguments,
            num_training_stages=arguments.stages,
            resolution=Ramp(float(arguments.start or arguments.resolution // 2), float(arguments.resolution)),
            evaluation_resolution=None,
        )
        recipes = {cell: cell_recipe(adaptive, *cell) for cell in cells}
        network = network_of(arguments.network, arguments)
        for recipe in recipes.values():
            config_of(network, recipe, seed=0, arguments=arguments)
    found: dict[Cell, list[Training]] = {cell: [] for cell in cells}
    for seed in range(arguments.seeds):
        for cell in cells if seed % 2 == 0 else cells[::-1]:
            training = trained(network, recipes[cell], seed=seed, arguments=arguments)
            found[cell].append(training)
            print(f"  seed {seed}, {', '.join(cell)}: {training.accuracy:.4f}", flush=True)
    report(found, arguments)


def cell_recipe(adaptive: Recipe, schedule: str, regularization: str) -> Recipe:
    """The recipe of one cell; progressive sizes are said by ramps alone, as everywhere."""
    changes: dict[str, Any] = {}
    if regularization == "fixed":
        ends = {name: getattr(adaptive, name).end for name in STRENGTHS}
        changes = {name: Ramp(end, end) for name, end in ends.items()}
    if schedule != "progressive":
        changes |= {"resolution_schedule": schedule, "regularization": regularization}
    return dataclasses.replace(adaptive, **changes)


def report(found: dict[Cell, list[Training]], arguments: Any) -> None:
    """The four cells, what adaptive regularization gains, the paper's."""
    name = Path(arguments.network).stem
    paper = paper_rows("table13")
    rows = []
    for schedule in arguments.schedules:
        fixed, adaptive = (
            [one.accuracy for one in found[schedule, how]] for how in REGULARIZATIONS
        )  # fmt: skip
        printed = paper[schedule.split("_")[0]]
        rows.append(
            {
                "schedule": schedule,
                "fixed": shown(fixed),
                "adaptive": shown(adaptive),
                "seconds": shown([one.seconds[-1] for one in found[schedule, "adaptive"]], percent=False),
                **{f"paper_{how}": f"{printed[how][0]} ± {printed[how][1]}" for how in REGULARIZATIONS},
            }
        )
    print_table(
        f"Table 13: accuracy (%), mean and 95 % interval of {arguments.seeds} seeds, {name}",
        {
            "schedule": "sizes", "fixed": "fixed", "adaptive": "adaptive", "seconds": "seconds",
            "paper_fixed": "fixed (paper)", "paper_adaptive": "adaptive (paper)",
        },
        rows,
    )  # fmt: skip
    for schedule in arguments.schedules:
        fixed, adaptive = ([one.accuracy for one in found[schedule, how]] for how in REGULARIZATIONS)
        printed = paper[schedule.split("_")[0]]
        gain = printed["adaptive"][0] - printed["fixed"][0]
        print(difference(f"{schedule}: adaptive - fixed", adaptive, fixed), f"(paper {gain:+.1f})")
    print_comparable(
        "table13",
        comparable="the sign and the size of what adaptive regularization gains",
        not_comparable="accuracies: other images, network and length than the paper's ImageNet trainings",
        quick=arguments.quick,
    )
    write_csv(
        arguments.csv,
        [
            {
                "schedule": schedule, "regularization": how, "seed": seed, "epoch": epoch + 1,
                "accuracy": accuracy, "train_seconds": seconds, "network": arguments.network,
                "source": arguments.source, "recipe": arguments.recipe, "device_name": this_device(),
            }
            for (schedule, how), trainings in found.items()
            for seed, one in enumerate(trainings)
            for epoch, (seconds, accuracy) in enumerate(zip(one.seconds, one.accuracies, strict=True))
        ],
    )  # fmt: skip
    curves = {", ".join(cell): trainings for cell, trainings in found.items()}
    draw_curves(arguments.png, curves, title=f"{name}, up to {arguments.resolution} px")


if __name__ == "__main__":
    main()

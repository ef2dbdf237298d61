"""Table 12: progressive learning for other networks, ResNets and the first EfficientNets.

    python tests/benchmarks/paper/table12_networks.py [SOURCE] [--networks resnet50 efficientnet-b0]
        [--resolution 64] [--stages 4] [--seeds 5] [--recipe cifar10] [--quick] [--csv FILE] [--png FILE]

*progressive* trains by the recipe's ramps, from half the size to the whole; *baseline* at the whole size with
the last stage's regularization. Both have the same epochs, and take turns seed by seed. Time is of training
alone; at equal accuracy it ends when the accuracy is reached that both reach.
"""

import itertools
from typing import Any

import numpy as np
from paper_tables import TOY, TOY_RESNET, paper_rows, parser_of, print_comparable, print_table, write_csv
from paper_trainings import (
    Training,
    add_training,
    at_its_end,
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
from trials.recipe import Ramp

WAYS = ("baseline", "progressive")
QUICK = {
    "networks": [str(TOY_RESNET), str(TOY)], "resolution": 24, "stages": 2, "epochs": 2, "seeds": 2,
    "images": 300,
}  # fmt: skip
Trainings = dict[str, list[Training]]


def main() -> None:
    """Trains all networks both ways, prints the table."""
    parser = parser_of(__doc__)
    add_training(parser)
    parser.add_argument("--networks", nargs="+", default=["resnet50", "efficientnet-b0"])
    parser.add_argument("--resolution", type=int, default=64, help="of the last stage")
    parser.add_argument("--start", type=int, help="of the first stage (default: half)")
    parser.add_argument("--stages", type=int, default=4)
    arguments = parser.parse_args()
    if arguments.quick:
        parser.set_defaults(**QUICK)
        arguments = parser.parse_args()
    whole = float(arguments.resolution)
    with refused(parser):
        progressive = base_recipe(
            arguments,
            num_training_stages=arguments.stages,
            resolution=Ramp(float(arguments.start or arguments.resolution // 2), whole),
            evaluation_resolution=None,
        )
        recipes = {"baseline": at_its_end(progressive), "progressive": progressive}
        networks = {name: network_of(name, arguments) for name in arguments.networks}
        for network, recipe in itertools.product(networks.values(), recipes.values()):
            config_of(network, recipe, seed=0, arguments=arguments)
    found: dict[str, Trainings] = {}
    for name, network in networks.items():
        found[name] = {way: [] for way in WAYS}
        for seed in range(arguments.seeds):
            for way in WAYS if seed % 2 == 0 else WAYS[::-1]:
                training = trained(network, recipes[way], seed=seed, arguments=arguments)
                found[name][way].append(training)
                print(
                    f"  {name}, seed {seed}, {way}: {training.accuracy:.4f} in {training.seconds[-1]:.1f} s",
                    flush=True,
                )
    report(found, arguments)


def report(found: dict[str, Trainings], arguments: Any) -> None:
    """The table, the differences, the paper's."""
    rows = []
    for name, ways in found.items():
        for way in WAYS:
            rows.append(
                {
                    "network": name,
                    "way": way,
                    "accuracy": shown([one.accuracy for one in ways[way]]),
                    "seconds": shown([one.seconds[-1] for one in ways[way]], percent=False),
                }
            )
    print_table(
        f"Table 12 at {arguments.resolution} px: mean and 95 % interval of {arguments.seeds} seeds",
        {"network": "network", "way": "", "accuracy": "accuracy %", "seconds": "seconds of training"},
        rows,
    )
    for name, ways in found.items():
        print(*differences(name, ways), sep="\n")
    print_table(
        "The paper's (ImageNet, 350 epochs, hours on 32 TPUv3 cores)",
        {"name": "network@px", "top1": "top-1", "with": "progressive", "hours": "hours", "less": "time"},
        [
            {
                "name": name, "top1": row["top1"][0], "with": row["top1"][1],
                "hours": f"{row['train_hours'][0]} → {row['train_hours'][1]}",
                "less": f"{100 * (row['train_hours'][1] / row['train_hours'][0] - 1):+.0f} %",
            }
            for name, row in paper_rows("table12").items()
        ],
    )  # fmt: skip
    print_comparable(
        "table12",
        comparable="the sign of both differences, and time in percent, where the device does the work",
        not_comparable="accuracies and hours: other images, sizes and length; small images gain less time",
        quick=arguments.quick,
    )
    write_csv(
        arguments.csv,
        [
            {
                "network": name, "way": way, "seed": seed, "epoch": epoch + 1, "accuracy": accuracy,
                "train_seconds": seconds, "resolution": arguments.resolution, "source": arguments.source,
                "recipe": arguments.recipe, "device_name": this_device(),
            }
            for name, ways in found.items()
            for way, trainings in ways.items()
            for seed, one in enumerate(trainings)
            for epoch, (seconds, accuracy) in enumerate(zip(one.seconds, one.accuracies, strict=True))
        ],
    )  # fmt: skip
    curves = {f"{name}, {way}": trainings for name, ways in found.items() for way, trainings in ways.items()}
    draw_curves(arguments.png, curves, title=f"progressive learning at {arguments.resolution} px")


def differences(name: str, ways: Trainings) -> list[str]:
    """Accuracy, time at equal epochs, time at equal accuracy; progressive against the baseline, by seed."""
    pairs = list(zip(ways["progressive"], ways["baseline"], strict=True))
    both = [min(max(one.accuracies), max(other.accuracies)) for one, other in pairs]
    equal = [
        one.seconds_until(accuracy) / other.seconds_until(accuracy)
        for (one, other), accuracy in zip(pairs, both, strict=True)
    ]
    lengths = [one.seconds[-1] / other.seconds[-1] for one, other in pairs]
    ones = np.ones(len(pairs)).tolist()
    return [
        difference(f"{name}: accuracy", *([one.accuracy for one in way] for way in zip(*pairs, strict=True))),
        difference(f"{name}: time at equal epochs", lengths, ones, unit="%"),
        difference(f"{name}: time at equal accuracy", equal, ones, unit="%"),
    ]


if __name__ == "__main__":
    main()

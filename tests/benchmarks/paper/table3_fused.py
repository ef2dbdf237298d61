"""Table 3: EfficientNet-B4 with no stage fused, stages 1-3, 1-5 and 1-7, with the reward of the search.

    python tests/benchmarks/paper/table3_fused.py [--resolution 128] [--batch-size 16] [--visits 3] [--quick]
        [--csv FILE] [--png FILE]

Fused stages keep their kernel and have no squeeze-excite (tests/benchmarks/step_time_table3.py). The reward
is A * S^-0.07 * P^-0.05 with the paper's accuracies; S and P are over those of none fused.
"""

import statistics
from typing import Any

import numpy as np
from paper_tables import TOY, paper_rows, parser_of, print_comparable, print_table, save_figure, write_csv
from step_time_table3 import FULL_RESOLUTION, FUSED, NUM_CLASSES, variant
from timed_networks import SEED, Bench, add_conditions

from search_spaces.networks.architecture import Architecture
from search_spaces.networks.counting import count
from search_spaces.settings.yaml_files import read_yaml
from trials.measurement import StepTime
from trials.reward import Reward

REWARD = Reward({"step_time_ratio": -0.07, "params": -0.05})
QUICK = {"backbone": str(TOY), "resolution": 32, "batch_size": 4, "visits": 1, "steps": 1}
WHERE = ("tpu_v3", "v100")


def main() -> None:
    """Prints the four networks: counts, speed and reward, the paper's beside them."""
    parser = parser_of(__doc__)
    parser.add_argument("--backbone", default="efficientnet-b4")
    parser.add_argument("--visits", type=int, default=3)
    add_conditions(parser)
    parser.set_defaults(resolution=128, batch_size=16)
    arguments = parser.parse_args()
    if arguments.quick:
        parser.set_defaults(**QUICK, precision="fp32")
        arguments = parser.parse_args()
    backbone = read_yaml(Architecture, arguments.backbone)
    networks = {name: variant(backbone, fused) for name, fused in FUSED.items()}
    bench = Bench(networks["none"], arguments)
    timed = visits(bench, networks, arguments.visits)
    rows = [row_of(name, networks, timed, bench, arguments) for name in networks]
    print(f"\n{bench.headline}, {arguments.visits} visits")
    print_table(
        f"Table 3: {arguments.backbone} with fused stages (parameters and MACs at {FULL_RESOLUTION} px)",
        {
            "fused": "fused", "params_millions": "params M", "paper_params": "(paper)",
            "macs_billions": "MACs G", "paper_flops": "(paper)", "paper_top1": "top-1 (paper)",
            "images_per_second": "img/s here", "S": "S here", "S_spread": "±", "S_tpu_v3": "TPUv3",
            "S_v100": "V100", "reward": "reward here", "reward_tpu_v3": "TPUv3", "reward_v100": "V100",
        },
        rows,
    )  # fmt: skip
    for label, key in (("here", "reward"), ("TPUv3", "reward_tpu_v3"), ("V100", "reward_v100")):
        order = sorted(rows, key=lambda row: -row[key])
        print(f"best reward first, {label}: {', '.join(row['fused'] for row in order)}")
    print_comparable(
        "table3",
        comparable="S and its order, and rewards by it; MACs but for batch norm, which the paper counts",
        not_comparable=(
            "images a second (size, batch, device); parameters of 1-3: no reading of the paper gives 20.0"
        ),
        quick=arguments.quick,
    )
    write_csv(arguments.csv, rows)
    save_figure(arguments.png, lambda axes: draw(axes, rows))


def visits(bench: Bench, networks: dict[str, Architecture], number: int) -> dict[str, list[StepTime]]:
    """Each network's step times beside the one without fused stages, in orders by chance."""
    rng, found = np.random.default_rng(SEED), {name: list[StepTime]() for name in networks}
    for visit in range(number):
        for name in map(str, rng.permutation(list(networks))):
            with bench.lock.timing():
                found[name].append(bench.visit(networks[name]))
            ratio = found[name][-1].step_time_ratio
            print(f"  visit {visit + 1} of {number}: {name} {ratio:.3f}", flush=True)
    return found


def row_of(
    name: str,
    networks: dict[str, Architecture],
    timed: dict[str, list[StepTime]],
    bench: Bench,
    arguments: Any,
) -> dict[str, Any]:
    """One network: here, and as the paper prints it."""
    paper = paper_rows("table3")
    counts = {
        key: count(networks[key], num_classes=NUM_CLASSES, resolution=FULL_RESOLUTION)
        for key in (name, "none")
    }
    params = counts[name].params / counts["none"].params
    ratios = [visit.step_time_ratio for visit in timed[name]]
    ratio = statistics.median(ratios)
    seconds = ratio * statistics.median(visit.reference_step_seconds for visit in timed[name])
    accuracy = paper[name]["top1"] / 100
    row = {
        "fused": name,
        "params_millions": counts[name].params / 1e6,
        "paper_params": paper[name]["params"],
        "macs_billions": counts[name].macs / 1e9,
        "paper_flops": paper[name]["flops"],
        "paper_top1": paper[name]["top1"],
        "S": ratio,
        "S_spread": (max(ratios) - min(ratios)) / 2,
        "images_per_second": arguments.batch_size / seconds,
        "reward": REWARD.of(accuracy, {"step_time_ratio": ratio, "params": params}.__getitem__),
    }
    for where in WHERE:
        printed = paper["none"][where] / paper[name][where]
        row[f"S_{where}"] = printed
        own = {"step_time_ratio": printed, "params": paper[name]["params"] / paper["none"]["params"]}
        row[f"reward_{where}"] = REWARD.of(accuracy, own.__getitem__)
    return {**row, **bench.facts, "px": arguments.resolution, "batch": arguments.batch_size}


def draw(axes: Any, rows: list[dict[str, Any]]) -> None:
    """S of the four networks, here and in the paper."""
    places = np.arange(len(rows))
    for i, (key, label, colour) in enumerate(
        (("S", "here", "#0068a8"), ("S_tpu_v3", "TPUv3", "#c2500a"), ("S_v100", "V100", "#00785a"))
    ):
        axes.bar(places + 0.27 * (i - 1), [row[key] for row in rows], 0.25, label=label, color=colour)
    axes.set_xticks(places, [row["fused"] for row in rows])
    axes.set(xlabel="fused stages", ylabel="step time over that of none fused")
    axes.legend()


if __name__ == "__main__":
    main()

"""Figure 3: the training step time of both families, at a fixed image size each.

    python tests/benchmarks/paper/figure3_step_time.py [--networks efficientnetv2-s efficientnet-b4 ...]
        [--batch-size 32] [--visits 2] [--quick] [--csv FILE] [--png FILE]

Each network takes steps at the size at which its own code trains it. The paper draws top-1 against the step
time of TPUv3 cores and prints no numbers; its Table 7 has the accuracies (V2's with progressive learning).
"""

import statistics
from typing import Any

import numpy as np
from candidates import Candidate, ours
from paper_bench import OUT_OF_MEMORY, PaperBench, add_timing
from paper_tables import (
    TOY,
    TOY_RESNET,
    paper_rows,
    parser_of,
    print_comparable,
    print_table,
    save_figure,
    write_csv,
)

from nas.scaling.published import PUBLISHED

FAMILIES = {
    "efficientnetv2": ("#0068a8", [f"efficientnetv2-{size}" for size in "sml"]),
    "efficientnet": ("#c2500a", [f"efficientnet-b{number}" for number in (4, 5, 6, 7)]),
}
QUICK = {"networks": [str(TOY), str(TOY_RESNET)], "batch_size": 2, "visits": 1, "resolution": 32}
SEED = 3


def main() -> None:
    """Prints step times, images a second, and what the paper says of the networks."""
    parser = parser_of(__doc__)
    names = [name for _, family in FAMILIES.values() for name in family]
    parser.add_argument("--networks", nargs="+", default=names)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--visits", type=int, default=2, help="of each network, in turns by chance")
    parser.add_argument("--resolution", type=int, help="for all, instead of their own")
    add_timing(parser)
    arguments = parser.parse_args()
    if arguments.quick:
        parser.set_defaults(**QUICK)
        arguments = parser.parse_args()
    bench = PaperBench(arguments)
    print(bench.headline)
    networks = [
        ours(name, resolution=arguments.resolution or trained_at(name), num_classes=arguments.classes)
        for name in arguments.networks
    ]
    timed = visits(bench, networks, arguments)
    rows = [row_of(network, timed[network.name], bench, arguments) for network in networks]
    fastest = min((row["step_ms"] for row in rows if isinstance(row["step_ms"], float)), default=None)
    for row in rows:
        row["ratio"] = row["step_ms"] / fastest if fastest and isinstance(row["step_ms"], float) else None
    print_table(
        f"Figure 3: training steps of {arguments.batch_size} images",
        {
            "network": "network", "px": "px", "params_millions": "params M", "macs_billions": "MACs G",
            "step_ms": "step ms", "spread_ms": "±", "ratio": "over the fastest",
            "images_per_second": "img/s", "paper_top1": "top-1 (Table 7)", "paper_hours": "hours (Table 7)",
        },
        rows,
    )  # fmt: skip
    print_comparable(
        "table7",
        comparable="the order of the networks by step time, and how far apart they are",
        not_comparable=(
            "step times: another device, and the figure prints none; accuracies: Table 7's, not the figure's"
        ),
        quick=arguments.quick,
    )
    write_csv(arguments.csv, rows)
    save_figure(arguments.png, lambda axes: draw(axes, rows))


def trained_at(name: str) -> int:
    """The size in pixels at which the network is trained, as published."""
    published = PUBLISHED.get(name)
    return (published.training or published.inference) if published else 224


def visits(bench: PaperBench, networks: list[Candidate], arguments: Any) -> dict[str, list[float]]:
    """Seconds of a step at every visit; none where it did not fit into memory."""
    rng, found = np.random.default_rng(SEED), {network.name: list[float]() for network in networks}
    for number in range(arguments.visits):
        for i in rng.permutation(len(networks)):
            network = networks[i]
            timed = bench.step_seconds(
                network.build, resolution=network.resolution, batch_size=arguments.batch_size
            )
            if not isinstance(timed, str):
                found[network.name].append(timed.seconds)
            shown = timed if isinstance(timed, str) else f"{1000 * timed.seconds:.4g} ms"
            print(f"  visit {number + 1} of {arguments.visits}: {network.name} {shown}", flush=True)
    return found


def row_of(network: Candidate, seconds: list[float], bench: PaperBench, arguments: Any) -> dict[str, Any]:
    """One network."""
    paper = paper_rows("table7").get(network.name, {})
    median = statistics.median(seconds) if seconds else None
    return {
        "network": network.name,
        "px": network.resolution,
        "batch": arguments.batch_size,
        "params_millions": network.params / 1e6,
        "macs_billions": network.macs / 1e9,
        "step_ms": 1000 * median if median else OUT_OF_MEMORY,
        "spread_ms": 500 * (max(seconds) - min(seconds)) if seconds else None,
        "images_per_second": arguments.batch_size / median if median else None,
        "visits": len(seconds),
        "paper_top1": paper.get("top1"),
        "paper_hours": paper.get("train_hours"),
        **bench.facts,
    }


def draw(axes: Any, rows: list[dict[str, Any]]) -> None:
    """Top-1 of Table 7 against the step time here; without accuracies, the families by parameters."""
    timed = [row for row in rows if isinstance(row["step_ms"], float)]
    key = "paper_top1" if all(row["paper_top1"] for row in timed) else "params_millions"
    for prefix in dict.fromkeys(row["network"].split("-")[0] for row in timed):
        colour = FAMILIES[prefix][0] if prefix in FAMILIES else "#a3a9b3"
        own = [row for row in timed if row["network"].split("-")[0] == prefix]
        points = sorted((row["step_ms"], row[key], row["network"]) for row in own)
        if points:
            axes.plot([p[0] for p in points], [p[1] for p in points], "o-", color=colour, label=prefix)
        for x, y, name in points:
            size = name.split("-")[-1]
            axes.annotate(size, (x, y), textcoords="offset points", xytext=(5, -11), color=colour)
    axes.set(
        xlabel="training step here (ms)",
        ylabel="ImageNet top-1 (%), Table 7" if key == "paper_top1" else "parameters (millions)",
    )
    axes.set_title(timed[0]["device_name"] if timed else "", fontsize=10)
    axes.legend()


if __name__ == "__main__":
    main()

"""Table 2: training throughput of EfficientNet-B6 by image size and batch.

    python tests/benchmarks/paper/table2_image_size.py [--network efficientnet-b6] [--sizes 512 380]
        [--batches 12 24 32 128] [--quick] [--csv FILE] [--png FILE]

A smaller image takes less time, and allows a larger batch, which is faster again: what progressive learning
lives on.
"""

from typing import Any

from candidates import ours
from paper_bench import PaperBench, add_timing, images_per_second
from paper_tables import TOY, paper_rows, parser_of, print_comparable, print_table, save_figure, write_csv

from analysis.plots import COLOURS

QUICK = {"network": str(TOY), "sizes": [64, 48], "batches": [2, 4]}


def main() -> None:
    """Prints images a second of every size and batch, the paper's beside them."""
    parser = parser_of(__doc__)
    parser.add_argument("--network", default="efficientnet-b6")
    parser.add_argument("--sizes", type=int, nargs="+", default=[512, 380])
    parser.add_argument("--batches", type=int, nargs="+", default=[12, 24, 32, 128])
    add_timing(parser)
    arguments = parser.parse_args()
    if arguments.quick:
        parser.set_defaults(**QUICK)
        arguments = parser.parse_args()
    bench = PaperBench(arguments)
    print(bench.headline)
    paper = paper_rows("table2")
    rows: list[dict[str, Any]] = []
    for size in arguments.sizes:
        network = ours(arguments.network, resolution=size, num_classes=arguments.classes)
        for batch in arguments.batches:
            timed = bench.step_seconds(network.build, resolution=size, batch_size=batch)
            rows.append(
                {
                    "network": network.name,
                    "px": size,
                    "batch": batch,
                    "macs_billions": network.macs / 1e9,
                    "images_per_second": images_per_second(timed, batch),
                    "flag": None if isinstance(timed, str) else timed.flag,
                    "paper_tpu_v3": paper.get(size, {}).get("tpu_v3", {}).get(batch),
                    "paper_v100": paper.get(size, {}).get("v100", {}).get(batch),
                    **bench.facts,
                }
            )
            print(f"  {size} px, batch {batch}: {rows[-1]['images_per_second']} images/s", flush=True)
    columns = {
        "network": "network", "px": "px", "batch": "batch", "macs_billions": "MACs G",
        "images_per_second": "img/s here", "paper_tpu_v3": "TPUv3 core (paper)", "paper_v100": "V100 (paper)",
    }  # fmt: skip
    print_table("Table 2: training throughput by image size", columns, rows)
    print(*ratios(rows), sep="\n")
    if arguments.network == "efficientnet-b6" and not arguments.quick:
        sizes = ", ".join(f"{row['top1']} % at {size} px" for size, row in paper.items())
        print(f"the paper's accuracy: {sizes}; the smaller size loses nothing")
    print_comparable(
        "table2",
        comparable="how much faster the smaller size is; which batches fit is the device's memory",
        not_comparable="images a second: another device and precision; accuracies are not trained here",
        quick=arguments.quick,
    )
    write_csv(arguments.csv, rows)
    save_figure(arguments.png, lambda axes: draw(axes, rows))


def ratios(rows: list[dict[str, Any]]) -> list[str]:
    """How much faster the smallest size is than the largest, by batch, here and in the paper."""
    largest, smallest = max(row["px"] for row in rows), min(row["px"] for row in rows)
    by_place = {(row["px"], row["batch"]): row for row in rows}
    lines = []
    for batch in sorted({row["batch"] for row in rows}):
        pair = by_place[smallest, batch], by_place[largest, batch]
        found = [
            f"{pair[0][key] / pair[1][key]:.2f}x {where}"
            for key, where in (
                ("images_per_second", "here"),
                ("paper_tpu_v3", "on TPUv3"),
                ("paper_v100", "on V100"),
            )
            if all(isinstance(row[key], (int, float)) for row in pair)
        ]
        figures = ", ".join(found) or "no figure"
        lines.append(f"{smallest} px against {largest} px at batch {batch}: {figures}")
    return lines


def draw(axes: Any, rows: list[dict[str, Any]]) -> None:
    """Images a second against the batch, a line for each size."""
    for colour, size in zip(COLOURS, dict.fromkeys(row["px"] for row in rows), strict=False):
        points = [
            (row["batch"], row["images_per_second"])
            for row in rows
            if row["px"] == size and isinstance(row["images_per_second"], float)
        ]
        if points:
            axes.plot(*zip(*points, strict=True), "o-", color=colour, label=f"{size} px")
    axes.set_xscale("log", base=2)
    axes.set(xlabel="images of a batch", ylabel="images per second, training step", ylim=(0, None))
    axes.set_title(f"{rows[0]['network']}, {rows[0]['device_name']}", fontsize=10)
    axes.legend()


if __name__ == "__main__":
    main()

"""Tables 1, 7, 10 and 11: parameters, multiply-adds, inference time and throughput at batch 1, 16 and 128.

    python tests/benchmarks/paper/table1_models.py [--tables 1 7 10 11] [--networks efficientnetv2-s ...]
        [--batches 1 16 128] [--no-timing] [--quick] [--csv FILE] [--png FILE]

Each network is used at the size at which its own code evaluates it. Networks that are not ours come from
timm, where it imports. `--no-timing` only counts.
"""

import argparse
from typing import Any

from candidates import TIMM, Candidate, ours, timm_candidates
from paper_bench import PaperBench, add_timing, images_per_second, milliseconds
from paper_tables import paper_rows, parser_of, print_comparable, print_table, save_figure, write_csv

from search_spaces.networks.architecture import Architecture

TABLES = {1: "table1", 7: "table7", 10: "table10", 11: "table11"}
TITLES = {
    1: "Table 1: efficient in parameters and FLOPs",
    7: "Table 7: ImageNet, V100 FP16 at batch 16",
    10: "Table 10: the same training for both generations",
    11: "Table 11: scaled down, V100 FP16 at batch 128",
}
ALSO = ("resnet50", "resnet152")  # of Table 12
QUICK = {"tables": [11], "networks": ["efficientnetv2-b0", "efficientnet-b1"], "resolution": 32}
QUICK_BATCHES = [1, 2]


def main() -> None:
    """Prints the tables that were asked for."""
    parser = parser_of(__doc__)
    parser.add_argument("--tables", type=int, nargs="+", choices=list(TABLES), default=list(TABLES))
    parser.add_argument("--networks", nargs="+", help="only these (default: all of the tables)")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 16, 128])
    parser.add_argument("--resolution", type=int, help="for all networks, instead of their own")
    parser.add_argument("--no-timing", action="store_true", help="parameters and multiply-adds alone")
    add_timing(parser)
    arguments = parser.parse_args()
    if arguments.quick:
        parser.set_defaults(**QUICK, batches=QUICK_BATCHES)
        arguments = parser.parse_args()
    bench = PaperBench(arguments)
    print(bench.headline)
    names = wanted(arguments)
    rows = {network.name: measured(network, bench, arguments) for network in networks(names, arguments)}
    for number in arguments.tables:
        show(number, rows, arguments)
    if also := [rows[name] for name in rows if name in ALSO]:
        print_table("Table 12's networks, which the paper does not list with sizes", columns(arguments), also)
    print_comparable(
        TABLES[arguments.tables[-1]],
        comparable="parameters and MACs (the paper's FLOPs, which also count batch norm); the order of times",
        not_comparable="times: another device and precision; accuracies: only the paper's are known here",
        quick=arguments.quick,
    )
    write_csv(arguments.csv, [{**row, **bench.facts} for row in rows.values()])
    save_figure(arguments.png, lambda axes: draw(axes, list(rows.values()), arguments))


def wanted(arguments: argparse.Namespace) -> list[str]:
    """The tables' networks, or those that were named."""
    if arguments.networks:
        return list(arguments.networks)
    listed = [name for number in arguments.tables for name in paper_rows(TABLES[number])]
    return list(dict.fromkeys([*listed, *ALSO]))


def networks(names: list[str], arguments: argparse.Namespace) -> list[Candidate]:
    """Ours, then timm's."""
    shipped = {path.stem for path in Architecture.SHIPPED.glob("*.yaml")}
    own = [ours(name, resolution=arguments.resolution) for name in names if name in shipped]
    others = [name for name in names if name in TIMM]
    return own + (timm_candidates(others, resolution=arguments.resolution) if others else [])


def measured(network: Candidate, bench: PaperBench, arguments: argparse.Namespace) -> dict[str, Any]:
    """One network's row."""
    row: dict[str, Any] = {
        "name": network.name,
        "source": network.source,
        "px": network.resolution,
        "params_millions": network.params / 1e6,
        "macs_billions": network.macs / 1e9,
    }
    for batch in [] if arguments.no_timing else arguments.batches:
        timed = bench.inference_seconds(network.build, resolution=network.resolution, batch_size=batch)
        row[f"ms_batch_{batch}"] = milliseconds(timed)
        row[f"images_per_second_batch_{batch}"] = images_per_second(timed, batch)
        print(f"  {network.name} at batch {batch}: {row[f'ms_batch_{batch}']} ms", flush=True)
    return row


def columns(arguments: argparse.Namespace) -> dict[str, str]:
    """What is printed of a row."""
    found = {
        "name": "network", "source": "", "px": "px", "params_millions": "params M", "paper_params": "(paper)",
        "macs_billions": "MACs G", "paper_flops": "(paper)", "paper_top1": "top-1 (paper)",
    }  # fmt: skip
    for batch in [] if arguments.no_timing else arguments.batches:
        found[f"ms_batch_{batch}"] = f"ms, b{batch}"
        found[f"images_per_second_batch_{batch}"] = f"img/s, b{batch}"
    return found | {"paper_time": "paper's time"}


def show(number: int, rows: dict[str, dict[str, Any]], arguments: argparse.Namespace) -> None:
    """One of the paper's tables."""
    printed = []
    for name, paper in paper_rows(TABLES[number]).items():
        if name not in rows and arguments.networks:
            continue
        time = f"{paper['infer_ms']} ms" if "infer_ms" in paper else None
        time = f"{paper['v100']:,} img/s" if "v100" in paper else time
        printed.append(
            {
                **rows.get(paper.get("network", name), {}),
                "name": name,
                "paper_params": paper["params"],
                "paper_flops": paper.get("flops"),
                "paper_top1": paper["top1"],
                "paper_time": time,
            }
        )
    print_table(TITLES[number], columns(arguments), printed)
    batch = arguments.batches[-1]
    key = f"images_per_second_batch_{batch}"
    for name, paper in paper_rows(TABLES[number]).items():
        other = paper.get("against")
        pair = [rows.get(one, {}).get(key) for one in (name, other)]
        if other and all(isinstance(value, float) for value in pair):
            there = paper["v100"] / paper_rows(TABLES[number])[other]["v100"]
            here = pair[0] / pair[1]
            print(f"{name} / {other}: {here:.2f}x here at batch {batch}, {there:.1f}x there")


def draw(axes: Any, rows: list[dict[str, Any]], arguments: argparse.Namespace) -> None:
    """The paper's accuracy against throughput here."""
    key = f"images_per_second_batch_{arguments.batches[-1]}"
    accuracies = {
        name: row["top1"] for number in arguments.tables for name, row in paper_rows(TABLES[number]).items()
    }
    for colour, family in (("#0068a8", "efficientnetv2"), ("#c2500a", "efficientnet-"), ("#a3a9b3", "")):
        points = [
            (row[key], accuracies[row["name"]], row["name"])
            for row in rows
            if isinstance(row.get(key), float)
            and row["name"] in accuracies
            and row["name"].startswith(family)
            and (family or not row["name"].startswith("efficientnet"))
        ]
        for x, y, name in points:
            axes.plot(x, y, "o", color=colour)
            axes.annotate(name, (x, y), textcoords="offset points", xytext=(5, 4), fontsize=8, color=colour)
    axes.set_xscale("log")
    axes.set(
        xlabel=f"images per second here, inference at batch {arguments.batches[-1]}",
        ylabel="ImageNet top-1 (%), as the paper prints it",
    )


if __name__ == "__main__":
    main()

"""Table 11 the other way round: EfficientNetV2-S scaled down to the sizes of B0 to B3.

    python tests/benchmarks/paper/scaling_down.py [--base efficientnetv2-s] [--batch-size 128] [--no-timing]
        [--quick] [--csv FILE] [--png FILE]

For each of V2-B0 to B3 `nas scale` solves for the largest member of the base's family with no more
multiply-adds; beside it stand the published network and the V1 network that the paper compares with it.
Throughput is inference's, each at its own size.
"""

from typing import Any

from candidates import Candidate, candidate, ours
from paper_bench import PaperBench, add_timing, images_per_second
from paper_tables import paper_rows, parser_of, print_comparable, print_table, save_figure, write_csv
from rich.console import Console

from nas.scaling.family import Request, Scaled, scale
from nas.scaling.solver import Budget

SIZES = ("efficientnetv2-b0", "efficientnetv2-b1", "efficientnetv2-b2", "efficientnetv2-b3")
QUICK = {"base": "efficientnetv2-b0", "sizes": ["efficientnetv2-b0"], "batch_size": 2, "resolution": 32}
KINDS = {"scaled": "#00785a", "published": "#0068a8", "V1": "#c2500a"}


def main() -> None:
    """Prints the family beside the published networks."""
    parser = parser_of(__doc__)
    parser.add_argument("--base", default="efficientnetv2-s")
    parser.add_argument("--sizes", nargs="+", default=list(SIZES))
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--resolution", type=int, help="for timing, instead of their own")
    parser.add_argument("--no-timing", action="store_true", help="parameters and multiply-adds alone")
    add_timing(parser)
    arguments = parser.parse_args()
    if arguments.quick:
        parser.set_defaults(**QUICK)
        arguments = parser.parse_args()
    rows = []
    bench = PaperBench(arguments)
    print(bench.headline)
    for kind, like, network, phi in family(arguments):
        rows.append({"kind": kind, "like": like, "phi": phi, **measured(network, bench, arguments)})
        print(f"  {kind} {network.name}", flush=True)
    print_table(
        f"{arguments.base} scaled down, inference at batch {arguments.batch_size}",
        {
            "like": "size of", "kind": "", "network": "network", "phi": "phi", "px": "px",
            "params_millions": "params M", "macs_billions": "MACs G", "images_per_second": "img/s here",
            "paper_v100": "V100 (paper)", "paper_top1": "top-1 (paper)",
        },
        rows,
    )  # fmt: skip
    print(*against_v1(rows), sep="\n")
    print_comparable(
        "table11",
        comparable="parameters and MACs; how many times faster V2 is than V1 of the same accuracy",
        not_comparable=(
            "images a second (another device); the scaled members, which the paper does not have"
        ),
        quick=arguments.quick,
    )
    write_csv(arguments.csv, [{**row, **bench.facts} for row in rows])
    save_figure(arguments.png, lambda axes: draw(axes, rows))


def family(arguments: Any) -> list[tuple[str, str, Candidate, float | None]]:
    """(kind, the size's name, network, phi) in the order of sizes."""
    found: list[tuple[str, str, Candidate, float | None]] = []
    against = {name: row["against"] for name, row in paper_rows("table11").items() if "against" in row}
    for like in arguments.sizes:
        published = ours(like, num_classes=arguments.classes)
        solved = solve(arguments.base, published.macs, classes=arguments.classes).members[0]
        own = candidate(
            f"{arguments.base}-{solved.name}",
            solved.architecture,
            resolution=solved.inference_resolution,
            num_classes=arguments.classes,
        )
        found.append(("scaled", like, own, solved.phi))
        found.append(("published", like, published, None))
        if like in against:
            found.append(("V1", like, ours(against[like], num_classes=arguments.classes), None))
    return found


def solve(base: str, macs: int, *, classes: int) -> Scaled:
    """The largest member of the base's family with no more multiply-adds."""
    request = Request(source=base, budgets=(Budget(macs=macs),), num_classes=classes)
    return scale(request, console=Console(stderr=True))


def measured(network: Candidate, bench: PaperBench, arguments: Any) -> dict[str, Any]:
    """One network's row."""
    paper = paper_rows("table11").get(network.name, {})
    row: dict[str, Any] = {
        "network": network.name,
        "px": network.resolution,
        "params_millions": network.params / 1e6,
        "macs_billions": network.macs / 1e9,
        "paper_v100": paper.get("v100"),
        "paper_top1": paper.get("top1"),
    }
    if not arguments.no_timing:
        size = arguments.resolution or network.resolution
        timed = bench.inference_seconds(network.build, resolution=size, batch_size=arguments.batch_size)
        row["images_per_second"] = images_per_second(timed, arguments.batch_size)
    return row


def against_v1(rows: list[dict[str, Any]]) -> list[str]:
    """How much faster the published V2 network is than its V1 one, here and in the paper."""
    lines = []
    for like in dict.fromkeys(row["like"] for row in rows):
        by_kind = {row["kind"]: row for row in rows if row["like"] == like}
        if "V1" not in by_kind:
            continue
        pair = by_kind["published"], by_kind["V1"]
        here = [row.get("images_per_second") for row in pair]
        text = f"{here[0] / here[1]:.2f}x here, " if all(isinstance(v, float) for v in here) else ""
        there = pair[0]["paper_v100"] / pair[1]["paper_v100"]
        lines.append(f"{like} against {pair[1]['network']}: {text}{there:.1f}x in the paper")
    return lines


def draw(axes: Any, rows: list[dict[str, Any]]) -> None:
    """Throughput, or where nothing was timed parameters, against multiply-adds."""
    key = "images_per_second" if any("images_per_second" in row for row in rows) else "params_millions"
    for kind, colour in KINDS.items():
        points = [
            (row["macs_billions"], row[key], row["network"])
            for row in rows
            if row["kind"] == kind and isinstance(row.get(key), float)
        ]
        axes.plot([p[0] for p in points], [p[1] for p in points], "o", color=colour, label=kind)
        for x, y, name in points:
            axes.annotate(name, (x, y), textcoords="offset points", xytext=(5, 4), fontsize=7, color=colour)
    labels = {"images_per_second": "images per second, inference", "params_millions": "parameters (millions)"}
    axes.set(xlabel="multiply-adds (billions)", ylabel=labels[key], xscale="log", yscale="log")
    axes.legend()


if __name__ == "__main__":
    main()

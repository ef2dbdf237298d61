"""The paper's Table 3 timed here: EfficientNet-B4 with no stage fused, stages 1-3, 1-5 and 1-7.

    python tests/benchmarks/step_time_table3.py [--resolution 128] [--batch-size 16] [--visits 3]

Fused stages keep their kernel and expansion and have no squeeze-excite, the reading of the table that fits
its parameters best. S is the step time over that of none fused. The paper's speeds are images per second of
training, of TPUv3 and V100.
"""

import argparse
import statistics
from dataclasses import replace

import numpy as np
from timed_networks import SEED, Bench, add_conditions

from search_spaces.networks.architecture import Architecture
from search_spaces.networks.counting import count
from search_spaces.settings.yaml_files import read_yaml

NUM_CLASSES, FULL_RESOLUTION = 1000, 380  # of the table's parameters and multiply-adds
FUSED = {"none": 0, "1-3": 3, "1-5": 5, "1-7": 7}
PAPER = {"none": (262, 155), "1-3": (362, 216), "1-5": (327, 223), "1-7": (254, 206)}


def variant(backbone: Architecture, fused: int) -> Architecture:
    """The backbone with its first stages fused."""
    stages = tuple(
        replace(stage, op="fused_mbconv", se_ratio=0.0) if i < fused else stage
        for i, stage in enumerate(backbone.stages)
    )
    return replace(backbone, stages=stages)


def main() -> None:
    """Prints S of the four networks beside what the paper's speeds say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--visits", type=int, default=3)
    add_conditions(parser)
    parser.set_defaults(resolution=128, batch_size=16)
    arguments = parser.parse_args()
    networks = {
        name: variant(read_yaml(Architecture, "efficientnet-b4"), fused) for name, fused in FUSED.items()
    }
    bench = Bench(networks["none"], arguments)
    rng = np.random.default_rng(SEED)
    ratios: dict[str, list[float]] = {name: [] for name in networks}
    flags: dict[str, int] = dict.fromkeys(networks, 0)
    for number in range(arguments.visits):
        for name in map(str, rng.permutation(list(networks))):
            with bench.lock.timing():
                measured = bench.visit(networks[name])
            ratios[name].append(measured.step_time_ratio)
            flags[name] += measured.flag is not None
            print(
                f"visit {number + 1} of {arguments.visits}: {name} {measured.step_time_ratio:.3f}", flush=True
            )

    print(f"\n{bench.headline}, {arguments.visits} visits")
    print("fused   params     MACs at 380 px   S here (range)            flagged   S of TPUv3   S of V100")
    for name, architecture in networks.items():
        size = count(architecture, num_classes=NUM_CLASSES, resolution=FULL_RESOLUTION)
        tpu, v100 = (PAPER["none"][i] / PAPER[name][i] for i in (0, 1))
        low, high = min(ratios[name]), max(ratios[name])
        print(
            f"{name:<7} {size.params / 1e6:5.1f} M   {size.macs / 1e9:10.2f} G     "
            f"{statistics.median(ratios[name]):5.3f} ({low:.3f} - {high:.3f})     "
            f"{flags[name]:>3} of {len(ratios[name])}   {tpu:8.2f}   {v100:9.2f}"
        )
    medians = {name: statistics.median(found) for name, found in ratios.items()}
    order = sorted(medians, key=lambda name: medians[name])
    print(
        f"fastest first: {', '.join(order)}; "
        f"1-7 takes {medians['1-7'] / medians['1-3']:.2f} times as long as 1-3"
    )
    bench.write({"ratios": ratios, "flags": flags, "order": order})


if __name__ == "__main__":
    main()

"""How fast pictures are decoded, resized and packed.

    python tests/benchmarks/packing_speed.py SOURCE [--resolution 128]

Every pass packs into a cache of its own that is removed afterwards; the first is not counted (files come from
the disk). The CPU time of all processes tells what changed on a machine that others use, too. Decoded by
Pillow alone and written through memory maps, on two free cores: Imagenette (JPEG of 128 px) 5,800 images/s at
128 px and 6,200 at 64 px, CIFAR-10 as JPEG 16,300 at 32 px. That and the new in turns on two cores under
load, seconds of CPU time for Imagenette at 128 px:

| | then | now | ratio |
|---|---|---|---|
| with simplejpeg, n = 10 | 4.36 (3.85 to 4.79) | 1.98 (1.87 to 2.10) | 2.2 |
| with Pillow alone, n = 6 | 5.15 (4.77 to 5.36) | 4.01 (3.88 to 4.21) | 1.28 |
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

from trials.images.config import DataConfig
from trials.images.packed import open_images


def main() -> None:
    """Prints images per second: median, lowest and highest of the passes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source")
    parser.add_argument("--resolution", type=int, default=128)
    parser.add_argument("--passes", type=int, default=3)
    parser.add_argument("--fraction", type=float, default=1.0)
    arguments = parser.parse_args()
    config = DataConfig(source=arguments.source, fraction=arguments.fraction)
    rates, seconds, count = [], [], 0
    for _ in range(arguments.passes + 1):
        with tempfile.TemporaryDirectory() as cache:
            before, used = time.perf_counter(), sum(os.times()[:4])
            count = len(open_images(config, resolution=arguments.resolution, cache=Path(cache)).images)
            rates.append(count / (time.perf_counter() - before))
            seconds.append(sum(os.times()[:4]) - used)
    counted = rates[1:]
    print(
        f"{arguments.source}: {count:,} pictures at {arguments.resolution} px: "
        f"{statistics.median(counted):,.0f} images/s (n = {len(counted)}, {min(counted):,.0f} to "
        f"{max(counted):,.0f}), {statistics.median(seconds[1:]):.2f} s of CPU time "
        f"({min(seconds[1:]):.2f} to {max(seconds[1:]):.2f})"
    )


if __name__ == "__main__":
    main()

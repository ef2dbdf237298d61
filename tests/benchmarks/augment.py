"""Augmented images per second and core: medians and ranges of the thread's own CPU time.

    python tests/benchmarks/augment.py --json figures.json

The time is the thread's (time.thread_time), so that other work on the machine counts little.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent.parent / "fixtures"))

from keyed_draws import keyed_uniform

from trials.augmentation.antialiased_crop import antialiased_resized_crop
from trials.augmentation.augment import crop_and_flip, random_resized_crop
from trials.augmentation.operations import DRAWS_PER_LAYER
from trials.augmentation.randaugment import rand_augment

BATCH = 256
LAYERS = 2
SIDES = (32, 48, 64, 128, 300)  # pixels


def crop(images: Tensor, epoch: int) -> Tensor:
    """Draws, crop with an eighth of padding, flip."""
    draws = keyed_uniform(0, epoch, torch.arange(len(images)), 3)
    return crop_and_flip(images, draws, padding=images.shape[1] // 8, flip=True)


def crop_and_rand_augment(images: Tensor, epoch: int) -> Tensor:
    """The same, then two layers of RandAugment at magnitude 9."""
    draws = keyed_uniform(1, epoch, torch.arange(len(images)), LAYERS * DRAWS_PER_LAYER)
    return rand_augment(crop(images, epoch), draws, magnitude=9.0, layers=LAYERS)


def resized_crop(images: Tensor, epoch: int) -> Tensor:
    """Draws, random resized crop, flip."""
    draws = keyed_uniform(2, epoch, torch.arange(len(images)), 5)
    return random_resized_crop(images, draws, flip=True)


def antialiased_crop(ratio: float) -> Callable[[Tensor, int], Tensor]:
    """Draws, random crop of pictures larger than `images` by a ratio, resized with antialiasing, flip."""
    larger: dict[int, Tensor] = {}  # by the side of the result

    def work(images: Tensor, epoch: int) -> Tensor:
        count, side = images.shape[:2]
        if side not in larger:
            stored = round(ratio * side)
            larger.clear()
            larger[side] = torch.randint(0, 256, (count, stored, stored, 3), dtype=torch.uint8)
        draws = keyed_uniform(2, epoch, torch.arange(count), 5)
        return antialiased_resized_crop(larger[side], draws, side, flip=True)

    return work


WORK: dict[str, Callable[[Tensor, int], Tensor]] = {
    "crop + flip": crop,
    "crop + flip + 2 RandAugment layers": crop_and_rand_augment,
    "random resized crop + flip": resized_crop,
    "crop of pictures 4/3 as large + flip": antialiased_crop(4 / 3),  # 64 px for 48
    "crop of pictures 2x as large + flip": antialiased_crop(2),
}


def images_per_second(work: Callable[[Tensor, int], Tensor], images: Tensor, *, passes: int) -> list[float]:
    """One figure for each pass; a pass is as many batches as take about 0.2 s."""
    work(images, 0)
    started = time.thread_time()
    work(images, 1)
    batches = max(1, round(0.2 / max(time.thread_time() - started, 1e-4)))
    figures = []
    for number in range(passes):
        started = time.thread_time()
        for batch in range(batches):
            work(images, 2 + number * batches + batch)
        figures.append(batches * len(images) / (time.thread_time() - started))
    return figures


def main() -> None:
    """Prints a line for each work and side; with --json writes the figures too."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--passes", type=int, default=7, help="measurements of each, at least 5")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rows = []
    for side in SIDES:
        images = torch.randint(0, 256, (BATCH, side, side, 3), dtype=torch.uint8)
        for name, work in WORK.items():
            figures = images_per_second(work, images, passes=max(5, arguments.passes))
            row = {"work": name, "side": side, "batch": BATCH, "passes": len(figures)}
            row |= {"median": statistics.median(figures), "least": min(figures), "most": max(figures)}
            rows.append(row)
            print(
                f"{side:4d} px  {name:36s} {row['median']:9,.0f} images/s per core "
                f"({row['least']:,.0f} to {row['most']:,.0f}, n = {len(figures)})"
            )
    if arguments.json:
        arguments.json.write_text(json.dumps({"torch": torch.__version__, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()

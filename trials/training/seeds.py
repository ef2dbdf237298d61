"""Seeds of a training's parts, from the one that it has."""

import numpy as np

# Independent streams of randomness that one seed gives: initial weights, order of images, dropped branches.
WEIGHTS, ORDER, DROPS = 0, 1, 2


def derived_seed(seed: int, stream: int, *, epoch: int = 0, rank: int = 0) -> int:
    """An independent seed for each stream, epoch and device, so that any epoch can be repeated alone."""
    key = [seed, stream, epoch, *([rank] if rank else [])]
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> np.uint64(1))

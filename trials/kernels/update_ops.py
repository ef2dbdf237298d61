"""Operator of a step's update: RMSProp and the weight average, in one pass."""

import torch
from torch import Tensor

from trials.kernels.costs import COSTS, Cost, bytes_of
from trials.kernels.launching import launch
from trials.kernels.tiles import factor_of, over

BLOCK, WARPS = 1024, 4


@torch.library.custom_op(
    "nas::rmsprop_update",
    mutates_args={"values", "mean_square", "velocity", "average", "average_statistics"},
)
def rmsprop_update(
    values: Tensor,
    gradients: Tensor,
    mean_square: Tensor,
    velocity: Tensor,
    average: Tensor | None,
    statistics: Tensor | None,
    average_statistics: Tensor | None,
    learning_rate: Tensor,
    skipped: Tensor | None,
    updates: Tensor | None,
    decayed: int,
    decay: float,
    momentum: float,
    epsilon: float,
    weight_decay: float,
    averaging_decay: float,
) -> None:
    """One step of RMSProp in place, then of the average of its result; the formulas are their classes'.

    Args:
        values, gradients, mean_square, velocity: (n,) float32, of which the first `decayed` entries have
            weight decay.
        average, statistics, average_statistics, updates: of the weight average, or None of all four.
            `updates` is read, not counted on: other programs of the kernel may not have read it yet.
        learning_rate, skipped: (); where `skipped` is not 0, weights and optimizer stay as they were.
    """
    from trials.kernels import triton_update as kernels

    blocks = over(values.numel(), BLOCK)
    more = 0 if statistics is None or average is None else over(statistics.numel(), BLOCK)
    factor = factor_of(values.numel())
    optional = (average, statistics, average_statistics, learning_rate, skipped, updates)
    launch(
        kernels.update, blocks + more, values, gradients, mean_square, velocity,
        *(values if each is None else each for each in optional),
        decay, momentum, epsilon, weight_decay, averaging_decay, values.numel() // factor, decayed,
        0 if statistics is None else statistics.numel(), blocks, FACTOR=factor, SKIPS=skipped is not None,
        AVERAGES=average is not None, BLOCK=BLOCK, num_warps=WARPS,
    )  # fmt: skip


@rmsprop_update.register_fake
def _(*_: object) -> None:
    return None


def _cost(
    values: Tensor, gradients: Tensor, mean_square: Tensor, velocity: Tensor, average: Tensor | None,
    statistics: Tensor | None, average_statistics: Tensor | None, *_: object,
) -> Cost:  # fmt: skip
    changed = bytes_of(values, mean_square, velocity, average, average_statistics)
    return Cost(1, 2 * changed + bytes_of(gradients, statistics))


COSTS["rmsprop_update"] = _cost

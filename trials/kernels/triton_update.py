"""Triton kernel of a step's update: RMSProp and the weight average."""

import triton
import triton.language as tl


@triton.jit(do_not_specialize=["entries_by", "decayed", "statistic_entries", "value_blocks"])
def update(
    values: tl.tensor, gradients: tl.tensor, mean_square: tl.tensor, velocity: tl.tensor,
    average: tl.tensor, statistics: tl.tensor, average_statistics: tl.tensor, learning_rate: tl.tensor,
    skipped: tl.tensor, updates: tl.tensor, decay: tl.tensor, momentum: tl.tensor, epsilon: tl.tensor,
    weight_decay: tl.tensor, averaging_decay: tl.tensor, entries_by: tl.tensor, decayed: tl.tensor,
    statistic_entries: tl.tensor, value_blocks: tl.tensor, FACTOR: tl.constexpr, SKIPS: tl.constexpr,
    AVERAGES: tl.constexpr, BLOCK: tl.constexpr,
) -> None:  # fmt: skip
    """One pass over all weights, then over the statistics, which only the average follows."""
    block = tl.program_id(0)
    kept = 0.0
    if AVERAGES:
        done = tl.load(updates)
        kept = tl.minimum((1 + done) / (10 + done), averaging_decay)
    if block < value_blocks:
        entries = entries_by * FACTOR
        i = tl.cast(block, tl.int64) * BLOCK + tl.arange(0, BLOCK)
        here = i < entries
        w = tl.load(values + i, mask=here, other=0.0)
        g = tl.load(gradients + i, mask=here, other=0.0)
        square = tl.load(mean_square + i, mask=here, other=0.0)
        speed = tl.load(velocity + i, mask=here, other=0.0)
        g += tl.where(i < decayed, weight_decay, 0.0) * w
        new_square = decay * square + (1 - decay) * g * g
        new_speed = momentum * speed + tl.load(learning_rate) * g * tl.rsqrt(new_square + epsilon)
        new_w = w - new_speed
        if SKIPS:
            skip = tl.load(skipped) != 0
            new_square = tl.where(skip, square, new_square)
            new_speed = tl.where(skip, speed, new_speed)
            new_w = tl.where(skip, w, new_w)
        tl.store(values + i, new_w, mask=here)
        tl.store(mean_square + i, new_square, mask=here)
        tl.store(velocity + i, new_speed, mask=here)
        if AVERAGES:
            old = tl.load(average + i, mask=here, other=0.0)
            tl.store(average + i, old + (1 - kept) * (new_w - old), mask=here)
    elif AVERAGES:
        j = (block - value_blocks) * BLOCK + tl.arange(0, BLOCK)
        there = j < statistic_entries
        now = tl.load(statistics + j, mask=there, other=0.0)
        before = tl.load(average_statistics + j, mask=there, other=0.0)
        tl.store(average_statistics + j, before + (1 - kept) * (now - before), mask=there)

"""Training steps as a CUDA graph against eager ones, from the same seed on the same batches.

Beside them the eager steps against themselves: kernels that add in no fixed order already differ there.
"""

from collections.abc import Iterator

import torch
from benchmarks.gpu.conditions import Conditions
from benchmarks.gpu.drawn_networks import space_of
from benchmarks.gpu.figures import Row

from nas.doctor.step_curves import curve, differences

STEPS, BATCH = 50, 128


def measure(conditions: Conditions) -> Iterator[Row]:
    """Yields the largest differences of the loss and of the weights, in fp32 and as trials compute here."""
    architecture = space_of(conditions).reference
    steps, batch = conditions.sized(STEPS, 2), conditions.sized(BATCH, 4)
    torch.backends.cudnn.deterministic = True
    try:
        for precision in dict.fromkeys(["fp32", conditions.sized(conditions.precision, "bf16")]):
            eager, again, graph = (
                curve(
                    architecture, conditions.device, precision=precision, graphs=graphs, steps=steps,
                    batch_size=batch,
                )
                for graphs in (False, False, True)
            )  # fmt: skip
            loss, weights = differences(graph, eager)
            floor_loss, floor_weights = differences(again, eager)
            yield Row(
                f"{precision}, {steps} steps, batch {batch}",
                {
                    "launched": f"{graph.mode} against {eager.mode}",
                    "loss differs by": loss,
                    "weights differ by, of the largest": weights,
                    "eager twice: loss": floor_loss,
                    "eager twice: weights": floor_weights,
                },
                f"{graph.mode} against {eager.mode} steps, {precision}, {steps} steps: the loss differs by "
                f"{loss:.2g} at most, eager steps among themselves by {floor_loss:.2g}",
            )
    finally:
        torch.backends.cudnn.deterministic = False

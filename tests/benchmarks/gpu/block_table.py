"""A table of block times of a small space, and how far its predictions are off from whole networks."""

from argparse import Namespace
from collections.abc import Iterator
from dataclasses import replace

import torch
from benchmarks.block_times_error import evaluated, measure_piece, wanted_measurement
from benchmarks.gpu.conditions import Conditions
from benchmarks.gpu.figures import Row, several

NETWORKS = 6


def measure(conditions: Conditions) -> Iterator[Row]:
    """Yields the table's cost, and its error on networks that its fit has not seen.

    What has been measured is kept, so that a table that was not finished goes on in the next run.
    """
    space = conditions.sized("small", "tiny")
    wanted = wanted_measurement(
        Namespace(space=space, resolution=conditions.sized(32, 16), batch_size=conditions.sized(128, 8))
    )
    if conditions.rehearse:
        wanted = replace(wanted, covers=1, whole_networks=4)
    number = conditions.sized(NETWORKS, 2)
    folder = conditions.folder(f"blocks-{wanted.conditions.precision}-{torch.__version__}")
    table = measure_piece(wanted, folder, number, 0.8 * conditions.seconds_left)
    if table is None:
        raise RuntimeError("the table was not done in its time; the same command goes on with it")
    found = evaluated(table, wanted)
    errors = [
        100 * abs(predicted / measured - 1)
        for predicted, measured in zip(found["predicted"], found["measured"], strict=True)
    ]
    yield Row(
        f"{space}, {found['networks_in_parts']} networks in parts, {found['networks_of_the_fit']} whole",
        {
            "table, s": found["table_seconds"],
            "off, %": several(errors),
            "mean off, %": 100 * found["error"],
            "tau": found["tau"],
            "by MACs and parameters, mean off, %": 100 * found["plain_error"],
            "flagged": found["flagged"],
        },
        f"step time predicted from block times: {100 * found['error']:.1f} % off (n = {found['networks']} "
        f"networks not seen before; by MACs and parameters {100 * found['plain_error']:.1f} %)",
    )

"""Tables of block times that tests make up: every part's time follows a formula."""

from typing import Any

import numpy as np

from search_spaces.architecture import Architecture
from search_spaces.block_cover import PlacedBlock, covering_networks, placed_blocks
from search_spaces.counting import count
from search_spaces.space import SearchSpace
from search_spaces.yaml_io import from_mapping
from trials.block_table import BlockTable, PartedNetwork, StepParts, TableConditions, WholeNetwork, space_id

RESOLUTION, CLASSES = 32, 10
SMALL = {
    "stem_channels": 8,
    "stages": [
        {"op": ["mbconv", "fused_mbconv"], "kernel_size": 3, "expansion_ratio": [1, 4], "channels": [8, 16],
         "layers": [0, 1, 2]},
        {"op": "mbconv", "kernel_size": 3, "stride": 2, "expansion_ratio": 2, "channels": 16,
         "layers": [1, 3]},
    ],
    "head_channels": 16,
    "reference": {
        "stem_channels": 8,
        "stages": [{"op": "mbconv", "expansion_ratio": 2, "channels": 16, "layers": 1, "stride": 2}],
        "head_channels": 16,
    },
}  # fmt: skip
STEM, TOP, CONSTANT, PER_PARAMETER = 0.02, 0.03, 0.004, 5e-9


def small_space() -> SearchSpace:
    """A space with a stage of two widths that may be absent: a block may stand behind several others."""
    return from_mapping(SearchSpace, SMALL, name="space.yaml")


def made_up_time(placed: PlacedBlock) -> tuple[float, float]:
    """Forward and backward of a block."""
    block = placed.block
    work = block.in_channels * block.expanded_channels * block.kernel_size * (placed.side / block.stride) ** 2
    return 1e-7 * work, 2e-7 * work


def made_up_parts(architecture: Architecture) -> StepParts:
    """All parts of a network's step."""
    times = [made_up_time(placed) for placed in placed_blocks(architecture, RESOLUTION)]
    params = count(architecture, num_classes=CLASSES, resolution=RESOLUTION).params
    return StepParts(
        stem=STEM,
        forward=tuple(forward for forward, _ in times),
        backward=tuple(backward for _, backward in times),
        top=TOP,
        update=CONSTANT + PER_PARAMETER * params,
        reference_seconds=0.5,
    )


def made_up_table(space: SearchSpace, *, whole: int = 8, factor: float = 1.0, **changes: Any) -> BlockTable:
    """A table of that space; wholes take `factor` times what their parts add up to."""
    rng = np.random.default_rng(0)
    covering = covering_networks(space, resolution=RESOLUTION, rng=rng)
    choices = space.choice_space(num_classes=CLASSES, resolution=RESOLUTION)
    drawn = [space.decode(choices.sample(rng)) for _ in range(whole)]
    conditions: dict[str, Any] = {
        "space_id": space_id(space),
        "device_name": "a processor",
        "precision": "fp32",
        "batch_size": 64,
        "resolution": RESOLUTION,
        "num_classes": CLASSES,
        "averages_weights": True,
        "drops_branches": False,
        "torch": "2.0",
    }
    return BlockTable(
        conditions=TableConditions(**{**conditions, **changes}),
        space=space,
        parted=tuple(PartedNetwork(architecture=a, parts=made_up_parts(a)) for a in covering),
        whole=tuple(
            WholeNetwork(
                architecture=a, step_time_ratio=factor * made_up_parts(a).ratio, step_time_ratio_spread=0.02
            )
            for a in drawn
        ),
        provenance={"host": "here"},
    )

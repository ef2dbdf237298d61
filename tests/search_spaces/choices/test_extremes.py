"""The smallest and the largest architectures of a space are those of the fewest and the most parameters."""

from typing import Any

import pytest
from small_spaces import REFERENCE, all_choices

from search_spaces.choices.costs import SpaceCosts
from search_spaces.choices.space import SearchSpace
from search_spaces.networks.counting import count
from search_spaces.settings.yaml_files import from_mapping, read_yaml

STAGE = {"kernel_size": 3, "expansion_ratio": 1, "channels": 64, "layers": 1}
CASES: dict[str, list[dict[str, Any]]] = {
    "inner widths of bottlenecks shrink with the ratio": [
        {"op": "bottleneck", "expansion_ratio": [1, 4], "layers": [1, 2]}
    ],
    "ops with and without an expansion": [
        {"op": ["basic", "conv", "bottleneck"], "expansion_ratio": [1, 4], "layers": [1, 2]},
        {"op": ["convnext", "uib", "fused_mbconv"], "expansion_ratio": [1, 4], "start_kernel_size": [0, 5]},
    ],
    "kernels that may be absent": [
        {"op": ["uib", "mbconv"], "kernel_size": [3, 0, 1], "start_kernel_size": [5, 0], "layers": [2, 1]},
        {"op": "uib", "kernel_size": [0, 3], "start_kernel_size": [0, 5], "stride": 2, "layers": [2, 1]},
    ],
    "a ratio that rounds to 1": [{"op": "fused_mbconv", "expansion_ratio": [4, 2, 1.3, 1.05]}],
    "equal channels without a projected shortcut": [
        {"op": "mbconv", "channels": [8, 16, 24, 64]},
        {"op": "bottleneck", "channels": [24, 64], "expansion_ratio": [1, 4]},
    ],
    "stages that narrow or vanish": [
        {"op": "mbconv", "channels": [8, 64], "layers": [0, 1], "se_ratio": [0.25, 0]},
        {"op": "fused_mbconv", "channels": [64, 8], "expansion_ratio": 4},
    ],
}


@pytest.mark.parametrize("stages", CASES.values(), ids=CASES)
def test_extremes_have_the_fewest_and_the_most_parameters_of_all(stages: list[dict[str, Any]]) -> None:
    mapping = {"stem_channels": 8, "head_channels": 16, "reference": REFERENCE}
    mapping["stages"] = [{**STAGE, **stage} for stage in stages]
    space = from_mapping(SearchSpace, mapping, name="space.yaml")
    everything = [_params(space, choices) for choices in all_choices(space)]
    assert _params(space, space.smallest()) == min(everything)
    assert _params(space, space.largest()) == max(everything)


def test_the_smallest_architecture_of_a_large_space_is_the_least_that_any_has() -> None:
    space = read_yaml(SearchSpace, "modern")
    least = SpaceCosts(space, num_classes=10, resolution=32).least()["params"]
    assert _params(space, space.smallest()) == least == 97_240


def _params(space: SearchSpace, choices: tuple[int, ...]) -> int:
    return count(space.decode(choices), num_classes=10, resolution=32).params

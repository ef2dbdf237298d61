"""The networks that are trained and timed: of the space cifar, always the same; of a rehearsal tiny ones."""

import numpy as np
from benchmarks.gpu.conditions import Conditions
from benchmarks.trial_throughput import networks

from search_spaces.choices.space import SearchSpace
from search_spaces.networks.architecture import Architecture
from search_spaces.settings.yaml_files import read_yaml


def drawn(conditions: Conditions, number: int) -> list[Architecture]:
    """Networks of 0.1 to 6 M parameters, drawn uniformly."""
    if not conditions.rehearse:
        return networks(number, resolution=32)
    space = space_of(conditions)
    choices, rng = space.choice_space(), np.random.default_rng(0)
    return [space.decode(choices.sample(rng)) for _ in range(number)]


def space_of(conditions: Conditions) -> SearchSpace:
    """The space whose reference network steps are timed beside."""
    return read_yaml(SearchSpace, conditions.sized("cifar", "tiny"))

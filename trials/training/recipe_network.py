"""The network that a recipe trains: the one rule of what it drops."""

from search_spaces.networks.architecture import Architecture
from search_spaces.networks.network import Network, build_network
from trials.recipe import Recipe


def network_for(architecture: Architecture, recipe: Recipe, *, num_classes: int) -> Network:
    """A network with fresh weights from torch's current seed, for all training stages of the recipe.

    Dropout that never acts is left out of a network, because it costs time. A ramp may fall, so the largest
    rate of all stages decides whether there is any, not the last stage's.
    """
    return build_network(
        architecture,
        num_classes=num_classes,
        stochastic_depth=recipe.stochastic_depth,
        dropout=max(stage.dropout for stage in recipe.training_stages()),
        batch_norm_momentum=recipe.batch_norm_momentum,
    )

"""The optimizer that a recipe names, on a network's flat parameters."""

import torch

from search_spaces.networks.network import Network
from trials.recipe import Recipe
from trials.training.adamw import AdamW
from trials.training.flat_parameters import FlatParameters
from trials.training.muon import Muon, hidden_matrices
from trials.training.optimizer import Optimizer
from trials.training.rmsprop import RMSProp
from trials.training.sgd import SGD


def build_optimizer(network: Network, recipe: Recipe, *, precision: str, fused: bool) -> Optimizer:
    """The recipe's optimizer; the network's tensors become views of its flat parameters.

    Args:
        precision: in which the network trains. Muon orthogonalises in bfloat16 only where this is bf16.
        fused: RMSProp may use the kernels of trials/kernels on a CPU.
    """
    settings = {  # that all but SGD share
        "momentum": recipe.momentum, "decay": recipe.rms_decay, "epsilon": recipe.epsilon,
        "weight_decay": recipe.weight_decay,
    }  # fmt: skip
    if recipe.optimizer == "muon":
        matrices = hidden_matrices(network)
        return Muon(
            FlatParameters(network, first=matrices),
            matrices=len(matrices),
            dtype=torch.bfloat16 if precision == "bf16" else torch.float32,
            **settings,
        )
    flat = FlatParameters(network)
    if recipe.optimizer == "sgd":
        return SGD(flat, momentum=recipe.momentum, weight_decay=recipe.weight_decay)
    if recipe.optimizer == "adamw":
        return AdamW(flat, **settings)
    return RMSProp(flat, fused=fused, **settings)

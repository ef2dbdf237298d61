"""Weights with which a full training begins: of a file those that fit the network and its classes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from search_spaces.settings.yaml_files import ConfigError
from trials.training.weights_file import WeightsFile, floating_tensors, load_weights


@dataclass(frozen=True)
class Fitted:
    """Names of the tensors that were, or were not, loaded into a network."""

    loaded: tuple[str, ...]
    other_shape: tuple[str, ...]  # in both, but with different shapes: a classifier of other classes, say
    missing: tuple[str, ...]  # only in the network
    unused: tuple[str, ...]  # only in the file
    other_classes: tuple[str, ...] = ()  # of the classifier, whose classes are others, or have no names


def begin_with(network: nn.Module, init: str, classes: Sequence[str]) -> Fitted:
    """Copies the initial weights that fit; of the classifier those of the same classes, by their names.

    Raises:
        ConfigError: there is no such file of weights, or none of them fits.
    """
    weights = load_weights(Path(init))
    tensors, left_out = with_classifier_of(weights, classes)
    fitted = load_by_name(network, tensors)
    if not fitted.loaded:
        raise ConfigError(f"init: {init}: none of its weights fits this architecture")
    return replace(fitted, other_classes=left_out)


def load_by_name(network: nn.Module, tensors: Mapping[str, Tensor]) -> Fitted:
    """Copies the tensors whose names and shapes fit; the network's other tensors keep their values."""
    own = floating_tensors(network)
    fitting = {name: tensor for name, tensor in tensors.items() if name in own}
    loaded = {name: tensor for name, tensor in fitting.items() if tensor.shape == own[name].shape}
    network.load_state_dict(loaded, strict=False)
    return Fitted(
        loaded=tuple(loaded),
        other_shape=tuple(name for name in fitting if name not in loaded),
        missing=tuple(name for name in own if name not in tensors),
        unused=tuple(name for name in tensors if name not in own),
    )


def with_classifier_of(
    weights: WeightsFile, classes: Sequence[str]
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The tensors, with the classifier's rows in the order of these classes.

    Returns:
        The tensors, and the names of those that were left out: the classifier's, where the file does not name
        all of these classes, so that its rows are of others.
    """
    known = list(weights.facts.get("classes") or ())
    of_classifier = tuple(name for name in weights.tensors if name.startswith("classifier."))
    if known == list(classes):
        return weights.tensors, ()
    if not set(classes) <= set(known):
        rest = {name: tensor for name, tensor in weights.tensors.items() if name not in of_classifier}
        return rest, of_classifier
    rows = torch.tensor([known.index(name) for name in classes])
    return {**weights.tensors, **{name: weights.tensors[name][rows] for name in of_classifier}}, ()

"""Weights with which a full training begins: of a file those that fit the network and its classes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from search_spaces.inheritance.transfer import WeightTransfer
from search_spaces.inheritance.weight_maps import weight_map
from search_spaces.networks.architecture import Architecture
from search_spaces.networks.blocks import own_ops
from search_spaces.settings.yaml_files import ConfigError
from trials.training.weights_file import WeightsFile, floating_tensors, load_weights


@dataclass(frozen=True)
class Fitted:
    """Names of the tensors that were, or were not, loaded into a network.

    `changes`: of another architecture's weights, how they were carried over, in words (see `WeightMap`), and
    whether the network computes what that one did.
    """

    loaded: tuple[str, ...]
    other_shape: tuple[str, ...]  # in both, but with different shapes: a classifier of other classes, say
    missing: tuple[str, ...]  # only in the network
    unused: tuple[str, ...]  # only in the file
    other_classes: tuple[str, ...] = ()  # of the classifier, whose classes are others, or have no names
    changes: tuple[str, ...] = ()
    keeps_function: bool = True


def begin_with(
    network: nn.Module, init: str, classes: Sequence[str], *, architecture: Architecture
) -> Fitted:
    """Gives a network initial weights; of the classifier those of the same classes, by their names.

    Weights of another architecture are carried over by a map that keeps its function where it can; where
    there is no such map (a ResNet's for another network), those whose names and shapes fit are copied.

    Raises:
        ConfigError: there is no such file of weights, or none of them fits.
    """
    weights = load_weights(Path(init))
    tensors, left_out = with_classifier_of(weights, classes)
    if weights.architecture.architecture_id != architecture.architecture_id:
        carried = _carried_over(network, weights, tensors, architecture, num_classes=len(classes))
        if carried is not None:
            return replace(carried, other_classes=left_out)
    fitted = load_by_name(network, tensors)
    if not fitted.loaded:
        raise ConfigError(f"init: {init}: none of its weights fits this architecture")
    return replace(fitted, other_classes=left_out)


def _carried_over(
    network: nn.Module,
    weights: WeightsFile,
    tensors: Mapping[str, Tensor],
    architecture: Architecture,
    *,
    num_classes: int,
) -> Fitted | None:
    """Gives the network another architecture's weights by a map; None where there is none."""
    own_classifier = "classifier.weight" in tensors  # with the rows of these classes
    fresh = floating_tensors(network)
    stages = (*weights.architecture.stages, *architecture.stages)
    try:
        changes = weight_map(
            weights.architecture,
            architecture,
            num_classes=num_classes,
            parent_classes=num_classes if own_classifier else weights.num_classes,
            own_ops=frozenset(own_ops(stage.op for stage in stages)),
        )
        found = WeightTransfer(changes).weights({**weights.tensors, **tensors}, fresh)
    except ValueError:
        return None
    if not own_classifier:  # rows of other classes tell nothing of these
        found |= {name: tensor for name, tensor in fresh.items() if name.startswith("classifier.")}
    network.load_state_dict(found, strict=False)
    return Fitted(
        loaded=tuple(name for name, tensor in found.items() if not torch.equal(tensor, fresh[name])),
        other_shape=(),
        missing=(),
        unused=(),
        changes=changes.changes,
        keeps_function=changes.is_exact and own_classifier,
    )


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

"""Weights with which a full training begins: those of a file, carried over to another network if need be."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from search_spaces.inheritance.transfer import WeightTransfer
from search_spaces.inheritance.weight_maps import weight_map
from search_spaces.networks.architecture import Architecture
from search_spaces.networks.blocks import own_ops
from search_spaces.settings.config_error import ConfigError
from trials.training.weights_file import WeightsFile, floating_tensors, load_weights

CLASSIFIER = "classifier."


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

    An EfficientNet's weights are carried over to another one by a map that keeps its function where it can.
    For a ResNet, and where ops are the user's own, those whose names and shapes fit are copied.

    Raises:
        ConfigError: there is no such file of weights, some are not finite, or none of them fits.
    """
    weights = load_weights(Path(init))
    for name, tensor in weights.tensors.items():
        if not bool(tensor.isfinite().all()):
            raise ConfigError(
                f"init: {init}: {name} has entries that are not finite, as after a training that diverged; "
                "name other weights"
            )
    tensors, left_out = with_classifier_of(weights, classes)
    source = weights.architecture.without_provenance()
    if source != architecture.without_provenance() and _has_map(source, architecture):
        try:
            carried = _carried_over(network, weights, tensors, architecture, num_classes=len(classes))
        except ValueError as error:
            raise ConfigError(f"init: {init}: {error}") from error
        return replace(carried, other_classes=left_out)
    fitted = load_by_name(network, tensors)
    if all(name.startswith(CLASSIFIER) for name in fitted.loaded):
        raise ConfigError(f"init: {init}: none of its weights fits this architecture")
    return replace(fitted, other_classes=left_out)


def _has_map(source: Architecture, architecture: Architecture) -> bool:
    """True if all blocks of both networks are described; others are copied where they are equal."""
    stages = (*source.stages, *architecture.stages)
    return source.kind is architecture.kind is None and not own_ops(stage.op for stage in stages)


def _carried_over(
    network: nn.Module,
    weights: WeightsFile,
    tensors: Mapping[str, Tensor],
    architecture: Architecture,
    *,
    num_classes: int,
) -> Fitted:
    """Gives the network another architecture's weights by a map.

    Raises:
        ValueError: the tensors are not those of the file's architecture.
    """
    has_rows = f"{CLASSIFIER}weight" in tensors  # of these classes
    fresh = {name: tensor.clone() for name, tensor in floating_tensors(network).items()}
    changes = weight_map(
        weights.architecture,
        architecture,
        num_classes=num_classes,
        parent_classes=num_classes if has_rows else weights.num_classes,
    )
    found = WeightTransfer(changes).weights({**weights.tensors, **tensors}, fresh)
    if not has_rows:  # rows of other classes say nothing of these
        found |= {name: tensor for name, tensor in fresh.items() if name.startswith(CLASSIFIER)}
    network.load_state_dict(found, strict=False)
    return Fitted(
        loaded=tuple(name for name, tensor in found.items() if not torch.equal(tensor, fresh[name])),
        other_shape=(),
        missing=(),
        unused=(),
        changes=changes.changes,
        keeps_function=changes.is_exact and has_rows,
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
    of_classifier = tuple(name for name in weights.tensors if name.startswith(CLASSIFIER))
    if known == list(classes):
        return weights.tensors, ()
    if not set(classes) <= set(known):
        rest = {name: tensor for name, tensor in weights.tensors.items() if name not in of_classifier}
        return rest, of_classifier
    rows = torch.tensor([known.index(name) for name in classes])
    return {**weights.tensors, **{name: weights.tensors[name][rows] for name in of_classifier}}, ()

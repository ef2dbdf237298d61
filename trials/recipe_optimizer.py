"""Needs of the optimizers of a recipe: their usual settings, and checks of the keys that each one has."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal, Protocol

from pydantic_core import ArgsKwargs

OptimizerName = Literal["rmsprop", "sgd", "adamw", "muon"]

# Defaults of the keys of each optimizer; RMSProp's are those of the fields. SGD's are those of Goyal et al.
# 2017, AdamW's those of Loshchilov and Hutter with the weight decay of ConvNeXt (Liu et al. 2022). Muon's
# momentum is Jordan's, and its rate is on the scale of AdamW's.
USUAL: Mapping[str, Mapping[str, float]] = {
    "rmsprop": {},
    "sgd": {"learning_rate": 0.1, "momentum": 0.9, "weight_decay": 1e-4},
    "adamw": {
        "learning_rate": 0.001, "momentum": 0.9, "rms_decay": 0.999, "epsilon": 1e-8, "weight_decay": 0.05,
    },
    "muon": {
        "learning_rate": 0.002, "momentum": 0.95, "rms_decay": 0.999, "epsilon": 1e-8, "weight_decay": 0.05,
    },
}  # fmt: skip
UNUSED = {"sgd": {"rms_decay": 0.9, "epsilon": 1e-3}}  # keys without a meaning, and their fields' defaults
FAR = 5.0  # times the usual rate, from where on a recipe's is likely another optimizer's
LEAST_DECOUPLED = 1e-3  # weight decay that the learning rate multiplies; below, it hardly does anything


class _Settings(Protocol):
    """The keys of a recipe that are read here by their names."""

    @property
    def optimizer(self) -> OptimizerName: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def weight_decay(self) -> float: ...


def with_usual_settings(given: Any) -> Any:
    """The mapping of a recipe (or arguments) with the optimizer's own defaults of keys that are not there."""
    if isinstance(given, ArgsKwargs):
        return ArgsKwargs(given.args, with_usual_settings(given.kwargs or {}))
    name = given.get("optimizer") if isinstance(given, Mapping) else None
    return {**USUAL[name], **given} if isinstance(name, str) and name in USUAL else given


def faults_of_optimizer(recipe: _Settings) -> Iterator[str]:
    """Sentences about settings, other than their defaults, that the recipe's optimizer does not have."""
    name = recipe.optimizer
    for key, default in UNUSED.get(name, {}).items():
        if (found := getattr(recipe, key)) != default:
            yield f"{key}: {found:g}, but the optimizer is {name}, which has no {key}; leave it out"


def optimizer_notes(recipe: _Settings) -> Iterator[str]:
    """Sentences about settings that look like those of another optimizer."""
    name, usual = recipe.optimizer, USUAL[recipe.optimizer]
    if usual and not 1 / FAR <= recipe.learning_rate / usual["learning_rate"] <= FAR:
        yield (
            f"learning_rate is {recipe.learning_rate:g} for 256 images; about {usual['learning_rate']:g} is "
            f"usual for {name}"
        )
    if name in ("adamw", "muon") and 0 < recipe.weight_decay < LEAST_DECOUPLED:
        yield (
            f"weight_decay is {recipe.weight_decay:g}, which {name} multiplies by the learning rate: it "
            f"hardly does anything; {usual['weight_decay']:g} is usual"
        )

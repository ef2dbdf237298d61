"""A training begins from another network's checkpoint: weights, averages and the optimizer's state."""

from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from inheriting import CLASSES, around, correlation, difference
from small_trials import CPU, digits, first_images
from torch import Tensor

from search_spaces.inheritance.weight_maps import WeightMap, weight_map
from search_spaces.networks.architecture import Architecture
from trials.recipe import Recipe
from trials.training.inherited_weights import inherit
from trials.training.step import TrainingStep, build_step

PARENT = around("inverted")
OPTIMIZERS = ("rmsprop", "sgd", "adamw", "muon")
DEEPER, WIDER = around("inverted", layers=3), around("inverted", expansion_ratio=6)
SIZES: dict[str, Any] = {
    "epochs": 1,
    "batch_size": 32,
    "resolution": 16,
    "flip": False,
    "averaging_decay": 0.9,
}


@cache
def recipe(optimizer: str = "rmsprop", **changes: Any) -> Recipe:
    return Recipe(**{**SIZES, "optimizer": optimizer, **changes})


def new_step(architecture: Architecture, settings: Recipe, *, seed: int = 0) -> TrainingStep:
    torch.manual_seed(seed)
    return build_step(architecture, settings, num_classes=CLASSES, device=CPU, precision="fp32")


def take_steps(step: TrainingStep, count: int) -> None:
    images, labels = first_images(digits(), 64)
    step.learning_rate.fill_(0.003)
    for _ in range(count):
        step(images, labels)


@cache
def trained(settings: Recipe, parent: Architecture = PARENT) -> dict[str, Tensor]:
    """The state of a parent after a few steps. Not to be changed."""
    step = new_step(parent, settings)
    take_steps(step, 12)
    return step.state()


def child_of(
    child: Architecture, settings: Recipe, *, seed: int = 1, parent: Architecture = PARENT
) -> tuple[TrainingStep, WeightMap]:
    step, weights = new_step(child, settings, seed=seed), weight_map(parent, child, num_classes=CLASSES)
    inherit(step, weights, trained(settings, parent), settings)
    return step, weights


@torch.no_grad()
def logits(step: TrainingStep, *, averaged: bool = False) -> Tensor:
    images = torch.randn(16, 3, 16, 16, generator=torch.Generator().manual_seed(3))
    if averaged:
        assert step.average is not None
        with step.average.swapped():
            return logits(step)
    return step.network.eval()(images)  # type: ignore[no-any-return]


def restored(settings: Recipe, parent: Architecture = PARENT) -> TrainingStep:
    step = new_step(parent, settings)
    step.load(trained(settings, parent))
    return step


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_same_network_goes_on_to_the_bit(optimizer: str) -> None:
    step, _ = child_of(PARENT, recipe(optimizer))
    expected, found = trained(recipe(optimizer)), step.state()
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name
    other = restored(recipe(optimizer))
    for each in (step, other):
        take_steps(each, 2)
    assert all(torch.equal(tensor, other.state()[name]) for name, tensor in step.state().items())


@pytest.mark.parametrize("child", [DEEPER, WIDER], ids=["deeper", "wider"])
def test_averaged_and_present_weights_keep_their_functions(child: Architecture) -> None:
    step, weights = child_of(child, recipe())
    parent = restored(recipe())
    assert weights.is_exact
    assert difference(logits(parent), logits(step)) < 1e-5
    assert difference(logits(parent, averaged=True), logits(step, averaged=True)) < 1e-5
    assert difference(logits(parent), logits(parent, averaged=True)) > 1e-3
    assert step.average is not None
    assert parent.average is not None
    assert step.average.updates == parent.average.updates


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("child", [DEEPER, WIDER], ids=["deeper", "wider"])
def test_moments_go_where_their_weights_go(optimizer: str, child: Architecture) -> None:
    settings = recipe(optimizer)
    step, _ = child_of(child, settings)
    parent = restored(settings)
    for name, vector in step.optimizer.state().items():
        if not vector.dim():
            assert vector == parent.optimizer.state()[name]
            continue
        ours, theirs = moments(step, name), moments(parent, name)
        kept = "stages.1.0.depthwise.0.weight"
        if kept in ours:
            assert torch.equal(ours[kept][:32], theirs[kept])
            assert theirs[kept].any()
        new = ours.get("stages.1.2.depthwise.0.weight") if child is DEEPER else ours.get(kept, [])[32:]
        if new is not None and len(new):
            initial = {"rmsprop": 1.0, "adamw": float(vector.mean()), "muon": float(vector.mean())}
            expected = initial[optimizer] if name == "mean_square" else 0.0
            assert new.flatten()[0] == pytest.approx(expected, rel=0.5)
            assert (new == new.flatten()[0]).all()


def moments(step: TrainingStep, name: str) -> dict[str, Tensor]:
    """An optimizer's tensor of each parameter by the parameter's name."""
    layout, flat = step.optimizer.layout(name), step.parameters
    names = {id(tensor): name for name, tensor in step.network.named_parameters()}
    last = flat.parameters[len(flat.parameters) - len(layout.ranges) :]
    views = layout.shaped(step.optimizer.state()[name], last)
    return {names[id(parameter)]: view for parameter, view in zip(last, views, strict=True)}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(
    "child", [DEEPER, WIDER, around("fused", layers=3)], ids=["deeper", "wider", "fused"]
)
def test_new_parts_learn_from_the_first_step(optimizer: str, child: Architecture) -> None:
    step, _ = child_of(child, recipe(optimizer))
    before = {name: tensor.clone() for name, tensor in step.network.named_parameters()}
    take_steps(step, 1)
    after = dict(step.network.named_parameters())
    assert all(torch.isfinite(tensor).all() for tensor in step.state().values())
    name = "stages.1.0.project.0.weight"
    if child is WIDER:
        assert (before[name][:, 32:] == 0).all()
        assert (after[name][:, 32:] != 0).any(0).all()  # every new channel's outgoing weights
    else:
        last = "stages.1.2.project.1.weight" if child is DEEPER else "stages.1.2.branch.2.1.weight"
        assert (before[last] == 0).all()
        assert (after[last] != 0).all()


def test_seed_of_the_child_gives_its_new_values() -> None:
    first, again, other = (child_of(WIDER, recipe(), seed=seed)[0].state() for seed in (1, 1, 2))
    assert torch.equal(first["values"], again["values"])
    assert not torch.equal(first["values"], other["values"])


@pytest.mark.parametrize(
    "child", [around("inverted", expansion_ratio=2), around("depthwise"), around("fused")]
)
def test_average_chooses_as_the_present_weights_do(child: Architecture) -> None:
    # Else an average of present weights would be one of different channels.
    settings = recipe()
    state = dict(trained(settings))
    state |= {f"average.{name}": state[name] for name in ("values", "statistics")}
    state["average.values"] = state["values"] * (1 + 1e-3 * torch.randn_like(state["values"]))
    step = new_step(child, settings, seed=1)
    inherit(step, weight_map(PARENT, child, num_classes=CLASSES), state, settings)
    assert step.average is not None
    assert difference(step.parameters.values, step.average.values) < 0.02


@pytest.mark.parametrize(
    ("child", "goes_on"),
    [(DEEPER, True), (around("inverted", se_ratio=0), True), (around("depthwise"), False)],
)
def test_average_goes_on_where_nearly_all_is_kept(child: Architecture, goes_on: bool) -> None:
    step, weights = child_of(child, recipe())
    assert step.average is not None
    assert (weights.kept > 0.9) == goes_on
    assert step.average.updates == (trained(recipe())["average.updates"] if goes_on else 0)


def test_what_does_not_fit_is_refused_and_changes_nothing() -> None:
    settings = recipe()
    step, state = new_step(DEEPER, settings, seed=1), trained(settings)
    before = step.state()

    def refused(message: str, child: Architecture = DEEPER, given: Recipe = settings) -> None:
        with pytest.raises(ValueError, match=message):
            inherit(step, weight_map(PARENT, child, num_classes=CLASSES), state, given)
        assert all(torch.equal(tensor, before[name]) for name, tensor in step.state().items())

    refused(r"the child's state has [\d,]+ numbers in values", child=WIDER)
    refused(
        r"the parent's state lacks optimizer\.mean; was it trained by another recipe", given=recipe("adamw")
    )


def test_child_of_a_near_change_is_nearer_to_its_parent_than_a_fresh_one() -> None:
    settings, child = recipe(), around("fused")
    step, weights = child_of(child, settings)
    expected = logits(restored(settings))
    assert not weights.is_exact
    assert (
        correlation(expected, logits(step))
        > correlation(expected, logits(new_step(child, settings, seed=1))) + 0.2
    )


def test_a_step_may_be_in_training_mode_and_of_other_drop_rates() -> None:
    dropping = replace(recipe(), stochastic_depth=0.2)
    step = new_step(DEEPER, dropping, seed=1)
    inherit(step, weight_map(PARENT, DEEPER, num_classes=CLASSES), trained(recipe()), dropping)
    assert difference(logits(restored(recipe())), logits(step)) < 1e-5

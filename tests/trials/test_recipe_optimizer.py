"""A recipe's optimizer: its own defaults, keys that it does not have, and what earlier recipes meant."""

from dataclasses import replace
from pathlib import Path

import pytest
from small_trials import HALF, make_trial

from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.yaml_files import from_mapping, read_yaml, to_mapping
from trials.checkpoint import TrialCheckpoint
from trials.recipe import Ramp, Recipe
from trials.recipe_optimizer import USUAL

SHORT = {"epochs": 8, "batch_size": 64, "resolution": 32}


def recipe(**changes: object) -> Recipe:
    return from_mapping(Recipe, {**SHORT, **changes}, name="recipe.yaml")


def test_default_is_rmsprop_with_the_papers_settings() -> None:
    plain = recipe()
    assert plain.optimizer == "rmsprop"
    assert (plain.learning_rate, plain.rms_decay, plain.momentum) == (0.016, 0.9, 0.9)
    assert (plain.epsilon, plain.weight_decay) == (1e-3, 1e-5)
    assert plain == recipe(optimizer="rmsprop") == Recipe(**SHORT | {"resolution": Ramp(32, 32)})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["sgd", "adamw", "muon"])
def test_each_optimizer_has_its_usual_settings_where_none_are_given(name: str) -> None:
    found = recipe(optimizer=name)
    assert USUAL[name].items() <= vars(found).items()
    assert found == Recipe(epochs=8, batch_size=64, resolution=Ramp(32, 32), optimizer=name)  # type: ignore[arg-type]
    assert recipe(optimizer=name, learning_rate=0.5, momentum=0.3).momentum == 0.3
    assert recipe(optimizer=name, learning_rate=0.5, momentum=0.3).learning_rate == 0.5
    assert from_mapping(Recipe, to_mapping(found), name="recorded", recorded=True) == found


def test_override_names_another_optimizer_and_what_a_file_gives_stays() -> None:
    found = read_yaml(Recipe, "proxy_cifar", overrides=["optimizer=adamw"])
    assert (found.optimizer, found.rms_decay, found.epsilon) == ("adamw", 0.999, 1e-8)
    assert (found.learning_rate, found.weight_decay) == (0.016, 1e-5)
    rate, decay = found.notes()
    assert "learning_rate is 0.016 for 256 images; about 0.001 is usual for adamw" in rate
    assert "weight_decay is 1e-05, which adamw multiplies by the learning rate" in decay


def test_usual_settings_need_no_notes() -> None:
    assert [recipe(optimizer=name).notes() for name in USUAL] == [()] * len(USUAL)
    assert read_yaml(Recipe, "proxy_cifar").notes() == ()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"optimizer": "adam"}, "optimizer: 'adam' is not one of adamw, muon, rmsprop, sgd"),
        ({"optimizer": ["sgd"]}, "optimizer"),
        ({"optimizer": "sgd", "rms_decay": 0.99}, "rms_decay: 0.99, but the optimizer is sgd, which has no"),
        ({"optimizer": "sgd", "epsilon": 1e-8}, "epsilon: 1e-08, but the optimizer is sgd"),
    ],
)
def test_unknown_optimizer_and_keys_that_it_does_not_have_are_refused(given: dict, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        recipe(**given)


def test_trials_of_before_there_was_a_choice_keep_their_checkpoints(tmp_path: Path) -> None:
    trial = make_trial()
    names = {TrialCheckpoint(tmp_path, trial, HALF).path.name}
    assert names == {"training-a1aab942db3bb5e9.safetensors"}
    for name in ("sgd", "adamw", "muon"):
        other = replace(trial, recipe=replace(trial.recipe, optimizer=name, rms_decay=0.9, epsilon=1e-3))
        names.add(TrialCheckpoint(tmp_path, other, HALF).path.name)
    assert len(names) == 4

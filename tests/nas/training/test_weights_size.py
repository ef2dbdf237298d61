"""Fine-tuning on images of the size that its initial weights were evaluated at."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from full_trainings import CONFIG
from small_networks import SMALL

from nas.commands.launch_training import training_config
from nas.training.config import FILE, TrainingConfig, as_begun, check_same_training, read_training
from search_spaces.networks.network import build_network
from search_spaces.settings.yaml_files import read_yaml, to_mapping, yaml_text
from trials.recipe import Ramp, Recipe
from trials.training.weights_file import save_weights


@pytest.fixture
def weights(tmp_path: Path) -> str:
    torch.manual_seed(0)
    path = tmp_path / "w.safetensors"
    save_weights(path, build_network(SMALL, num_classes=10), SMALL, num_classes=10, resolution=96)
    (tmp_path / "small.yaml").write_text(yaml_text(SMALL, header=""))
    return str(path)


def configured(weights: str, *overrides: str, recipe: str = "finetune") -> tuple[TrainingConfig, list[str]]:
    """The configuration of the typed training, and what is said of it."""
    said: list[str] = []
    folder = Path(weights).parent
    config = training_config(
        str(folder / "small.yaml"), folder=folder / "run", data="digits", recipe=recipe, test=None,
        init=weights, patience=None, overrides=overrides, say=said.append,
    )  # fmt: skip
    return config, said


def test_fine_tuning_takes_the_size_of_its_weights_and_says_so(weights: str) -> None:
    config, said = configured(weights)
    assert config.recipe.resolution == Ramp(96, 96)
    assert said == ["images of 96 px, the size that the initial weights were evaluated at"]


def test_a_size_that_is_named_holds(weights: str) -> None:
    config, said = configured(weights, "recipe.resolution=64")
    assert (config.recipe.resolution, said) == (Ramp(64, 64), [])
    config, said = configured(weights, recipe="finetune_21k_1k")
    assert (config.recipe.resolution, said) == (Ramp(384, 384), [])


def test_a_recipe_of_ones_own_takes_the_size_of_its_weights_as_the_shipped_one(weights: str) -> None:
    own = Path(weights).parent / "own.yaml"
    own.write_text(yaml_text(read_yaml(Recipe, "finetune"), header=""))
    config, said = configured(weights, recipe=str(own))
    assert config.recipe.resolution == Ramp(96, 96)
    assert said == ["images of 96 px, the size that the initial weights were evaluated at"]
    config, said = configured(weights, "recipe.resolution.start=32", recipe=str(own))
    assert (config.recipe.resolution, said) == (Ramp(32, 224), [])


def test_a_fine_tuning_that_an_earlier_version_began_goes_on(weights: str) -> None:
    config, _ = configured(weights)
    mapping = to_mapping(config)
    del mapping["recipe"]["initial_weights"]
    run = Path(weights).parent / "run"
    run.mkdir()
    (run / FILE).write_text(yaml.safe_dump(mapping))
    check_same_training(as_begun(config, run), run)
    assert config.recipe.identity() == read_training(run).recipe.identity()


def test_a_fine_tuning_that_was_begun_has_the_size_it_was_begun_with(weights: str) -> None:
    run = Path(weights).parent / "run"
    run.mkdir()
    begun = replace(CONFIG, recipe=replace(configured(weights)[0].recipe, resolution=Ramp(224, 224)))
    (run / FILE).write_text(yaml_text(begun, header=""))
    config, said = configured(weights)
    assert (config.recipe.resolution, said) == (Ramp(224, 224), [])


def test_repeats_that_were_begun_have_the_size_they_were_begun_with(weights: str) -> None:
    run = Path(weights).parent / "run" / "repeat-0"
    run.mkdir(parents=True)
    begun = replace(CONFIG, recipe=replace(configured(weights)[0].recipe, resolution=Ramp(224, 224)))
    (run / FILE).write_text(yaml_text(begun, header=""))
    assert configured(weights)[0].recipe.resolution == Ramp(224, 224)

"""Recipes of full training against the fact sheet: every number."""

from dataclasses import asdict

import pytest

from search_spaces.settings.yaml_files import read_yaml
from trials.recipe import Recipe


@pytest.mark.parametrize(
    ("name", "sizes", "dropout", "randaugment", "mixup", "cutmix", "momentum"),
    [
        ("full_s", [128, 185, 242, 300], (0.1, 0.3), (5, 15), (0, 0), (0, 0), 0.01),
        ("full_m", [128, 212, 296, 380], (0.1, 0.4), (5, 20), (0, 0.2), (0, 0), 0.01),
        ("full_l", [128, 212, 296, 380], (0.1, 0.5), (5, 25), (0, 0.4), (0, 0), 0.01),
        ("official_s", [171, 214, 257, 300], (0.2, 0.2), (5, 10), (0, 0), (0, 0), 0.1),
        ("official_m", [192, 256, 320, 384], (0.3, 0.3), (5, 15), (0, 0.2), (0, 0.2), 0.1),
        ("official_l", [192, 256, 320, 384], (0.4, 0.4), (5, 20), (0, 0.5), (0, 0.5), 0.1),
    ],
)
def test_recipes_of_full_training_have_the_papers_and_the_codes_numbers(
    name: str,
    sizes: list[int],
    dropout: tuple[float, float],
    randaugment: tuple[float, float],
    mixup: tuple[float, float],
    cutmix: tuple[float, float],
    momentum: float,
) -> None:
    recipe = read_yaml(Recipe, name)
    stages = recipe.training_stages()
    assert [stage.resolution for stage in stages] == sizes
    assert [stage.epochs for stage in stages] in ([88, 87, 88, 87], [87, 88, 87, 88])
    for field, (start, end) in {
        "dropout": dropout, "randaugment": randaugment, "mixup": mixup, "cutmix": cutmix,
    }.items():  # fmt: skip
        expected = [start + (end - start) * i / 3 for i in range(4)]
        assert [getattr(stage, field) for stage in stages] == pytest.approx(expected), field
    assert (recipe.epochs, recipe.batch_size, recipe.warmup_epochs) == (350, 4096, 5)
    assert recipe.peak_learning_rate() == pytest.approx(0.256)
    assert (recipe.rms_decay, recipe.momentum, recipe.epsilon) == (0.9, 0.9, 1e-3)
    assert (recipe.weight_decay, recipe.averaging_decay, recipe.label_smoothing) == (1e-5, 0.9999, 0.1)
    assert (recipe.stochastic_depth, recipe.batch_norm_momentum) == (0.2, momentum)
    assert (recipe.schedule, recipe.crop, recipe.flip) == ("exponential_staircase", "resized", True)
    assert recipe.randaugment_pixels == ("official" if name.startswith("official") else "scaled")


OF_A_NETWORK = {"resolution", "dropout", "evaluation_resolution", "randaugment", "mixup"}


@pytest.mark.parametrize(
    ("small", "larger", "differing"),
    [
        ("full_s", ("full_m", "full_l"), OF_A_NETWORK),
        ("official_s", ("official_m", "official_l"), OF_A_NETWORK | {"cutmix"}),
    ],
)
def test_recipes_of_larger_networks_differ_in_what_their_files_say(
    small: str, larger: tuple[str, ...], differing: set[str]
) -> None:
    of_small = asdict(read_yaml(Recipe, small))
    for name in larger:
        recipe = asdict(read_yaml(Recipe, name))
        assert {key for key, value in recipe.items() if value != of_small[key]} == differing


def test_fine_tuning_has_the_papers_numbers_and_at_least_ten_thousand_steps() -> None:
    recipe = read_yaml(Recipe, "finetune")
    assert (recipe.batch_size, recipe.schedule, recipe.weight_decay) == (512, "cosine", 0.0)
    assert recipe.peak_learning_rate() == pytest.approx(0.001)
    assert recipe.cutout > 0
    assert recipe.epochs_for(97) == 104  # CIFAR: 50,000 images, 10,088 steps
    assert recipe.epochs_for(10_000) == 15

"""Recipes: Algorithm 1's training stages, and what is refused."""

from dataclasses import replace

import pytest

from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.yaml_files import from_mapping, read_yaml
from trials.recipe import Ramp, Recipe


def recipe(**changes: object) -> Recipe:
    return from_mapping(
        Recipe, {"epochs": 8, "batch_size": 64, "resolution": 32, **changes}, name="recipe.yaml"
    )


def test_training_stages_follow_algorithm_1_with_truncated_sizes() -> None:
    """Table 6, EfficientNetV2-S: 128 to 300 px, dropout 0.1 to 0.3, four stages of about 87 epochs."""
    stages = recipe(
        epochs=350,
        num_training_stages=4,
        resolution={"start": 128, "end": 300},
        dropout={"start": 0.1, "end": 0.3},
    ).training_stages()
    assert [stage.resolution for stage in stages] == [128, 185, 242, 300]
    assert [stage.dropout for stage in stages] == pytest.approx([0.1, 1 / 6, 7 / 30, 0.3])
    assert sum(stage.epochs for stage in stages) == 350
    assert {stage.epochs for stage in stages} == {87, 88}
    assert [stage.first_epoch for stage in stages] == [0, 88, 175, 263]


def test_augmentation_grows_with_the_training_stages() -> None:
    """Table 6, EfficientNetV2-M: RandAugment 5 to 20, mixup 0 to 0.2."""
    stages = recipe(
        num_training_stages=4, randaugment={"start": 5, "end": 20}, mixup={"start": 0, "end": 0.2}, cutmix=1
    ).training_stages()
    assert [stage.randaugment for stage in stages] == [5, 10, 15, 20]
    assert [stage.mixup for stage in stages] == pytest.approx([0, 0.2 / 3, 0.4 / 3, 0.2])
    assert [stage.cutmix for stage in stages] == [1, 1, 1, 1]


def test_one_training_stage_has_the_final_strengths() -> None:
    (stage,) = recipe(dropout=0.2).training_stages()
    assert (stage.resolution, stage.dropout, stage.epochs, stage.first_epoch) == (32, 0.2, 8, 0)


def test_fewer_epochs_than_the_recipes_are_divided_among_all_stages() -> None:
    stages = recipe(epochs=40, num_training_stages=4).training_stages(10)
    assert [stage.epochs for stage in stages] == [3, 2, 3, 2]


@pytest.mark.parametrize(
    ("epochs", "final_share", "lengths"),
    [
        (12, 0.4, [3, 2, 2, 5]),
        (60, 0.5, [10, 10, 10, 30]),
        (8, 0.9, [1, 1, 1, 5]),  # the last one leaves an epoch to each of the others
        (7, 0.1, [2, 2, 2, 1]),
        (4, 0.5, [1, 1, 1, 1]),
        (40, 0.0, [10, 10, 10, 10]),
    ],
)
def test_final_share_is_the_part_of_the_epochs_in_the_last_stage(
    epochs: int, final_share: float, lengths: list[int]
) -> None:
    plan = recipe(
        epochs=epochs, num_training_stages=4, resolution={"start": 16, "end": 32}, final_share=final_share
    )
    stages = plan.training_stages()
    assert [stage.epochs for stage in stages] == lengths
    assert [stage.first_epoch for stage in stages] == [sum(lengths[:i]) for i in range(4)]
    assert [stage.resolution for stage in stages] == [16, 21, 26, 32]


def test_sizes_that_are_drawn_have_no_last_stage_to_prolong() -> None:
    drawn = {"resolution_schedule": "random_batch", "resolutions": (16, 24, 32), "epochs": 9}
    stages = recipe(final_share=0.6, **drawn).training_stages()
    assert [stage.epochs for stage in stages] == [3, 3, 3]


def test_peak_learning_rate_grows_with_the_batch() -> None:
    assert recipe(learning_rate=0.016, batch_size=4096).peak_learning_rate() == pytest.approx(0.256)


def test_plain_number_in_a_recipe_is_a_constant_ramp() -> None:
    assert recipe(resolution=64).resolution == Ramp(64, 64)


@pytest.mark.parametrize("name", sorted(path.stem for path in Recipe.SHIPPED.glob("*.yaml")))
def test_shipped_recipes_are_valid(name: str) -> None:
    shipped = read_yaml(Recipe, name)
    assert shipped.training_stages()
    assert shipped.notes() == ()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, ("resolution is 32 from the beginning and never 16", "dropout is 0.2 from the beginning")),
        ({"num_training_stages": 2}, ()),
        ({"resolution_schedule": "constant"}, ("dropout is 0.2",)),
        ({"regularization": "fixed"}, ("resolution is 32",)),
        ({"resolution_schedule": "random_batch", "resolutions": (16, 32)}, ()),
        ({"resolution": 32, "dropout": 0.2}, ()),
    ],
    ids=str,
)
def test_where_a_ramp_begins_is_said_to_be_unused_in_a_single_stage(
    changes: dict[str, object], said: tuple[str, ...]
) -> None:
    ramps = {"resolution": {"start": 16, "end": 32}, "dropout": {"start": 0.0, "end": 0.2}}
    notes = recipe(**{**ramps, **changes}).notes()
    assert len(notes) == len(said)
    assert all(note.startswith(words) for note, words in zip(notes, said, strict=True))
    assert all("num_training_stages, and there is 1" in note for note in notes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"epochs": 0}, "epochs"),
        ({"batch_size": 1}, "batch_size"),
        ({"resolution": 4}, "resolution: 4 is out of range"),
        ({"dropout": 1.0}, "dropout: 1 is out of range"),
        ({"randaugment": 41}, "randaugment: 41 is out of range; it must be from 0 to 40"),
        ({"mixup": {"start": 0, "end": 5}}, "mixup: 5 is out of range; it must be from 0 to 4"),
        ({"cutmix": -1}, "cutmix"),
        ({"cutout": 1.5}, "cutout"),
        ({"crop": "centre"}, "resized"),
        ({"final_share": 1}, "final_share"),
        ({"decay_share": 0}, "decay_share"),
        ({"num_training_stages": 9}, "num_training_stages: 9, but epochs is only 8"),
        ({"warmup_epochs": 8.5}, "warmup_epochs: 8.5, but epochs is only 8"),
        ({"warmup_epochs": 8.5, "min_steps": 10_000}, "warmup_epochs: 8.5"),
        ({"schedule": "cosin"}, "cosine"),
        ({"learning_rat": 0.1}, "learning_rate"),
    ],
)
def test_wrong_recipes_are_refused_by_name(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        recipe(**changes)


def test_warm_up_may_last_as_long_as_the_training() -> None:
    assert recipe(epochs=1, warmup_epochs=1).warmup_epochs == 1


def test_an_evaluation_size_that_was_left_behind_is_said() -> None:
    shipped = read_yaml(Recipe, "full_s")
    assert shipped.notes() == ()
    (note,) = replace(shipped, resolution=Ramp(64, 128)).notes()
    assert "evaluated at 384 px, 3 times the 128 px of training" in note
    assert replace(shipped, resolution=Ramp(64, 128), evaluation_resolution=160).notes() == ()


def test_all_faults_of_a_recipe_are_said_at_once() -> None:
    with pytest.raises(ConfigError) as refused:
        read_yaml(
            Recipe, "cifar10", overrides=["epochs=1", "warmup_epochs=1", "dropout=1.5", "randaugment=99"]
        )
    for words in ("num_training_stages", "dropout", "randaugment"):
        assert words in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (["schedule=constant", "decay_share=0.3"], "decay_share is 0.3, and has no effect: "),
        (["num_training_stages=1", "resolution=32"], "final_share is 0.4, and has no effect"),
        (["resolution_schedule=random_batch"], "final_share is 0.4, and has no effect: sizes are drawn"),
        (["optimizer=sgd"], "learning_rate is 0.016 for 256 images; about 0.1 is usual for sgd"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)  # fmt: skip
def test_keys_that_nothing_goes_by_and_rates_of_another_optimizer_are_said(
    changes: list[str], said: str
) -> None:
    assert any(note.startswith(said) for note in read_yaml(Recipe, "cifar10", overrides=changes).notes())

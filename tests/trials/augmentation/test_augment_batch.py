"""A stage's augmentation: what is in use, draws that stay with the image, and training with all of it."""

from dataclasses import replace

import pytest
import torch
from keyed_draws import keyed_uniform
from small_trials import CPU, HALF, RECIPE, digits, new_step
from torch import Tensor

from trials.augmentation import augment_batch
from trials.augmentation.augment import crop_and_flip
from trials.augmentation.augment_batch import Augmentation, AugmentedBatch
from trials.recipe import Ramp, Recipe, TrainingStage
from trials.training.train import EpochEnd, train

pytestmark = pytest.mark.usefixtures("as_a_worker")
EVERYTHING = replace(
    RECIPE,
    flip=True,
    crop="resized",
    randaugment=Ramp(5, 10),
    mixup=Ramp(0.2, 0.2),
    cutmix=Ramp(1, 1),
    cutout=0.25,
)
IMAGES = torch.randint(0, 256, (32, 16, 16, 3), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
LABELS = torch.arange(32) % 10
SAMPLES = torch.arange(100, 132)


def augmented(
    recipe: Recipe, images: Tensor = IMAGES, labels: Tensor = LABELS, samples: Tensor = SAMPLES
) -> AugmentedBatch:
    return stage_augmentation(recipe)(images, labels, samples)


def stage_augmentation(recipe: Recipe, stage: TrainingStage | None = None) -> Augmentation:
    augment = Augmentation(recipe, stage or recipe.training_stages()[0], CPU)
    augment.start_epoch(seed=3, epoch=1)
    return augment


def train_losses(recipe: Recipe) -> list[float]:
    images = digits(data=HALF)
    events = train(new_step(recipe), recipe, images_at=lambda _: images, epochs=recipe.epochs, seed=1)
    return [end.train_loss for end in events if isinstance(end, EpochEnd)]


def test_batch_stays_as_it_is_without_augmentation() -> None:
    batch = augmented(RECIPE)
    assert batch.images is IMAGES
    assert (batch.partners, batch.weights) == (None, None)


@pytest.mark.parametrize("pixels", ["scaled", "official"])
def test_randaugments_pixels_are_those_of_the_recipe(pixels: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(
        augment_batch, "rand_augment", lambda images, draws, **named: seen.append(named["pixels"]) or images
    )
    augmented(replace(RECIPE, randaugment=Ramp(5, 5), randaugment_pixels=pixels))
    assert seen == [pixels]


def test_crops_are_cut_from_larger_pictures_and_have_the_stages_size() -> None:
    """By the draws of the crops that are enlarged, as before; an image may stand anywhere in its batch."""
    recipe = replace(RECIPE, crop="resized", flip=True)
    larger = IMAGES.repeat_interleave(2, 1).repeat_interleave(2, 2)
    batch = augmented(recipe, larger)
    assert batch.images.shape == IMAGES.shape
    back = augmented(recipe, larger.flip(0), LABELS, SAMPLES.flip(0))
    assert torch.equal(back.images.flip(0), batch.images)
    enlarged = augmented(replace(recipe, stored_resolution="stage"))
    off = (enlarged.images.float() - batch.images.float()).abs().mean()
    others = (enlarged.images.roll(1, 0).float() - batch.images.float()).abs().mean()
    assert off < others / 2  # the same parts of the same images


def test_crop_and_flip_take_the_first_draws_of_each_image() -> None:
    batch = augmented(replace(RECIPE, flip=True, crop_padding=0.125))
    expected = crop_and_flip(IMAGES, keyed_uniform(3, 1, SAMPLES, 3), padding=2, flip=True)
    assert torch.equal(batch.images, expected)


@pytest.mark.parametrize(
    ("recipe", "losses"),
    [
        (RECIPE, [2.4478048, 2.1548574]),
        (replace(RECIPE, flip=True, crop_padding=0.125), [2.4600981, 2.3997160]),
    ],
)
def test_curves_of_recipes_without_new_augmentation_are_what_they_were(
    recipe: Recipe, losses: list[float]
) -> None:
    """The losses recorded before RandAugment, mixup, CutMix and cutout existed."""
    assert train_losses(recipe) == pytest.approx(losses, rel=1e-4)


@pytest.mark.parametrize("recipe", [EVERYTHING, replace(EVERYTHING, crop="pad", cutout=0.0)])
def test_an_images_augmentation_does_not_depend_on_its_batch(recipe: Recipe) -> None:
    recipe = replace(recipe, mixup=Ramp(0, 0), cutmix=Ramp(0, 0))
    whole, order = augmented(recipe).images, torch.randperm(32)
    assert torch.equal(augmented(recipe, IMAGES[order], LABELS[order], SAMPLES[order]).images, whole[order])
    assert torch.equal(augmented(recipe, IMAGES[7:9], LABELS[7:9], SAMPLES[7:9]).images, whole[7:9])
    assert not torch.equal(whole, IMAGES)


def test_draws_of_cutout_do_not_depend_on_mixup() -> None:
    """Cutout's place is the same whether RandAugment is in use or not, and so on."""
    black = torch.zeros_like(IMAGES)
    cut = replace(RECIPE, cutout=0.25)
    alone = augmented(cut, black).images
    mixed = augmented(replace(cut, mixup=Ramp(1, 1)), black)
    assert mixed.weights is not None
    own = torch.lerp(alone.flip(0).float(), alone.float(), mixed.weights.view(-1, 1, 1, 1))
    assert torch.equal(mixed.images, own.round().to(torch.uint8))


def test_with_mixup_and_cutmix_the_first_half_is_mixed_up_and_the_second_cut() -> None:
    recipe = replace(RECIPE, mixup=Ramp(1, 1), cutmix=Ramp(1, 1))
    steps = (torch.arange(31, dtype=torch.uint8) * 8).view(-1, 1, 1, 1).expand(-1, 16, 16, 3)
    batch = augmented(recipe, steps, torch.arange(31), SAMPLES[:31])
    assert batch.partners is not None
    assert batch.weights is not None
    assert batch.partners.tolist() == [*range(14, -1, -1), *range(30, 14, -1)]
    kinds = [len(image.unique()) for image in batch.images]
    assert kinds[:15] == [1] * 15  # one grey between two
    assert max(kinds[15:]) == 2  # two greys
    assert batch.weights[:15].min() >= 0.5
    for i in range(15):
        weight, own, other = batch.weights[i].item(), 8 * i, 8 * batch.partners[i].item()
        assert batch.images[i].float().mean().item() == pytest.approx(
            weight * own + (1 - weight) * other, abs=0.51
        )


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_mixup_or_cutmix_alone_mixes_the_whole_batch(name: str) -> None:
    batch = augmented(replace(RECIPE, **{name: Ramp(1, 1)}))
    assert batch.partners is not None
    assert torch.equal(batch.partners, LABELS.flip(0))


def test_stage_with_strengths_of_zero_leaves_the_batch_as_it_is() -> None:
    stage = replace(EVERYTHING.training_stages()[0], randaugment=0.0, mixup=0.0, cutmix=0.0)
    recipe = replace(EVERYTHING, crop="pad", cutout=0.0, flip=False)
    batch = stage_augmentation(recipe, stage)(IMAGES, LABELS, SAMPLES)
    assert batch.images is IMAGES
    assert batch.weights is None


def test_network_learns_with_all_augmentations_and_a_seed_repeats_its_curve() -> None:
    recipe = replace(EVERYTHING, epochs=4, num_training_stages=2, averaging_decay=0.0)
    losses = train_losses(recipe)
    assert losses == train_losses(recipe)
    assert losses[-1] < losses[0]


def test_images_of_several_labels_can_be_mixed() -> None:
    labels = torch.stack([LABELS, torch.where(LABELS > 4, -1, LABELS + 1)], dim=1)
    batch = augmented(EVERYTHING, labels=labels)
    step = new_step()
    step(batch.images, batch.labels, batch.partners, batch.weights)
    loss, _ = step.read_totals()
    assert 0 < loss < 10

"""The augmentation of one training stage, applied to a batch on its device."""

from dataclasses import dataclass

import torch
from torch import Tensor

from trials.augmentation.antialiased_crop import antialiased_resized_crop
from trials.augmentation.augment import crop_and_flip, cutout, random_resized_crop
from trials.augmentation.draws import draw_key, uniform_from_key
from trials.augmentation.kernel_check import kernels_run
from trials.augmentation.mixing import beta_ratios, beta_table, cutmix, mixup
from trials.augmentation.operations import DRAWS_PER_LAYER
from trials.augmentation.randaugment import rand_augment
from trials.recipe import Recipe, TrainingStage

RAND_AUGMENT_LAYERS = 2
# Columns of an image's draws. All are always drawn, so that switching one augmentation on or off leaves the
# draws of the others as they are.
_RESIZED = slice(0, 5)
_CUTOUT = slice(5, 7)
_RATIO, _BOX = 7, slice(8, 10)
_RAND_AUGMENT = slice(10, 10 + RAND_AUGMENT_LAYERS * DRAWS_PER_LAYER)
_FURTHER_KEY = 0x5DEECE66D  # makes these draws independent of those of the padded crop, which came first


@dataclass(frozen=True)
class AugmentedBatch:
    """An augmented batch for a training step; mixed images have the labels of two images."""

    images: Tensor  # (B, H, W, 3) uint8
    labels: Tensor  # (B,) or (B, L)
    partners: Tensor | None = None  # labels of the images that were mixed in, of the same shape
    weights: Tensor | None = None  # (B,) weight of the image's own labels, 0-1


class Augmentation:
    """The augmentation of a training stage: crop and flip, RandAugment, cutout, then mixup and CutMix.

    Strengths and the epoch's key of draws are tensors on the device, and a call never waits for the device,
    so that a CUDA graph can hold it.
    """

    def __init__(self, recipe: Recipe, stage: TrainingStage, device: torch.device) -> None:
        self.recipe = recipe
        self.stage = stage
        self.magnitude = torch.full((), stage.randaugment, dtype=torch.float64, device=device)
        self.mixup_table = beta_table(stage.mixup).to(device)
        self.cutmix_table = beta_table(stage.cutmix).to(device)
        self._by_kernels = kernels_run(device)
        self._padding = round(recipe.crop_padding * stage.resolution)
        self._keys = torch.zeros(2, dtype=torch.int64, device=device)

    def start_epoch(self, *, seed: int, epoch: int) -> None:
        """Sets the draws of all calls from here on to those of (seed, epoch)."""
        self._keys.copy_(torch.stack([draw_key(seed, epoch), draw_key(seed ^ _FURTHER_KEY, epoch)]))

    def __call__(self, images: Tensor, labels: Tensor, samples: Tensor) -> AugmentedBatch:
        """Augments a batch on the device.

        Args:
            images: (B, H, W, 3) uint8, of the stage's size, or larger where the recipe cuts crops from such.
            labels: (B,) or (B, L).
            samples: (B,) indices of the images in the data set, from which their draws follow.
        """
        recipe, stage = self.recipe, self.stage
        draws = torch.empty(0, device=images.device)
        if self._needs_further_draws():
            draws = uniform_from_key(self._keys[1], samples, _RAND_AUGMENT.stop)
        if recipe.cuts_from_larger:
            images = antialiased_resized_crop(
                images,
                draws[:, _RESIZED],
                stage.resolution,
                flip=recipe.flip,
                by_kernels=self._by_kernels,
            )
        elif recipe.crop == "resized":
            images = random_resized_crop(
                images, draws[:, _RESIZED], flip=recipe.flip, by_kernels=self._by_kernels
            )
        elif self._padding or recipe.flip:
            crop_draws = uniform_from_key(self._keys[0], samples, 3)
            images = crop_and_flip(images, crop_draws, padding=self._padding, flip=recipe.flip)
        if stage.randaugment:
            images = rand_augment(
                images,
                draws[:, _RAND_AUGMENT],
                magnitude=self.magnitude,
                layers=RAND_AUGMENT_LAYERS,
                pixels=recipe.randaugment_pixels,
                by_kernels=self._by_kernels,
            )
        if recipe.cutout:
            images = cutout(images, draws[:, _CUTOUT], share=recipe.cutout)
        if stage.mixup or stage.cutmix:
            return self._mixed(images, labels, draws)
        return AugmentedBatch(images, labels)

    def _needs_further_draws(self) -> bool:
        strengths = (self.stage.randaugment, self.stage.mixup, self.stage.cutmix, self.recipe.cutout)
        return self.recipe.crop == "resized" or any(strengths)

    def _mixed(self, images: Tensor, labels: Tensor, draws: Tensor) -> AugmentedBatch:
        """Mixes each image with its partner, the image opposite in its part of the batch.

        If both mixup and CutMix are used, the first half of the batch gets mixup and the second CutMix, as in
        the official code.
        """
        count, stage = len(images), self.stage
        mixups = count // 2 if stage.mixup and stage.cutmix else (count if stage.mixup else 0)
        # The two parts are mixed separately: partners never cross the border between them.
        blended, blended_weights = mixup(
            images[:mixups],
            beta_ratios(draws[:mixups, _RATIO], self.mixup_table),
            by_kernels=self._by_kernels,
        )
        ratios = beta_ratios(draws[mixups:, _RATIO], self.cutmix_table)
        boxed, boxed_weights = cutmix(images[mixups:], ratios, draws[mixups:, _BOX])
        return AugmentedBatch(
            images=torch.cat([blended, boxed]),
            labels=labels,
            partners=torch.cat([labels[:mixups].flip(0), labels[mixups:].flip(0)]),
            weights=torch.cat([blended_weights, boxed_weights]),
        )

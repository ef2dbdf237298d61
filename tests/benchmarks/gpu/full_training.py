"""Full training of EfficientNetV2-S at the image sizes of its recipe, with augmentation.

Real steps on images of each stage's size that lie on the device, as `nas train` takes them to estimate its
time before it begins.
"""

import time
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import torch
from benchmarks.gpu.conditions import Conditions
from benchmarks.gpu.figures import Row, several
from benchmarks.gpu.made_up_images import CLASSES, in_memory

from nas.training.estimate import StageEstimate, estimate
from search_spaces.networks.architecture import Architecture
from search_spaces.settings.yaml_files import read_yaml
from trials.images.device_images import ResidentImages
from trials.recipe import Ramp, Recipe
from trials.training.micro_batches import fit_training
from trials.training.step import build_step

BATCH, IMAGES, PASSES = 512, 600, 3


def measure(conditions: Conditions) -> Iterator[Row]:
    """Yields images per second of each stage."""
    recipe = replace(read_yaml(Recipe, "full_s"), batch_size=conditions.sized(BATCH, 16))
    name = conditions.sized("efficientnetv2-s", "tests/benchmarks/paper/toy.yaml")
    if conditions.rehearse:
        recipe = replace(recipe, epochs=8, resolution=Ramp(16, 32), num_training_stages=2)
    device, precision = conditions.device, conditions.precision
    torch.manual_seed(0)
    step = build_step(
        read_yaml(Architecture, name), recipe, num_classes=CLASSES, device=device, precision=precision
    )
    stages = recipe.training_stages()
    parts = fit_training(step, recipe, stages, batch_size=recipe.batch_size, num_classes=CLASSES)

    @cache
    def images_at(resolution: int) -> ResidentImages:
        return ResidentImages(in_memory(conditions.sized(IMAGES, 64), side=resolution), device)

    passes: list[list[StageEstimate]] = []
    for _ in range(conditions.sized(PASSES, 1)):
        started = time.monotonic()
        passes.append(estimate(step, recipe, images_at=images_at, epochs=recipe.epochs, seed=0))
        if time.monotonic() - started > conditions.seconds_left:
            break
    for same in zip(*passes, strict=True):
        stage = same[0].stage
        rates = several([recipe.batch_size / each.step_seconds for each in same])
        yield Row(
            f"{stage.resolution} px, RandAugment {stage.randaugment:.3g}, dropout {stage.dropout:.2g}",
            {
                "images/s": rates,
                "ms a step": several([1000 * each.step_seconds for each in same]),
                "batch": recipe.batch_size,
                "in parts": parts,
                "launched": step.mode,
            },
            f"full training of V2-S at {stage.resolution} px, augmented: {rates.median:,.0f} images/s "
            f"(batch {recipe.batch_size}, {precision}, n = {rates.n})",
        )

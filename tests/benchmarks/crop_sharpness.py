"""Detail of random resized crops: mean Laplacian energy, over that of crops cut from the originals.

    python tests/benchmarks/crop_sharpness.py IMAGES [--side 48] [--json figures.json]

IMAGES is a source as `nas train --data` takes it, of square pictures that all have one size (Imagenette at
128 px: 9,469). The proper way, as in the official code: a part of the original in whole pixels, resized by
torch's antialiased bilinear interpolation in floats. All others use the same draws:

- stored: as a training crops them, from the recipe's pack (`recipe.stored_resolution: auto`);
- each ratio: from packs of that many times the side (`stored_resolution: N`);
- stage: of pictures reduced to the side before, enlarged again, as versions before did;
- whole: the pictures reduced, not cropped.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import interpolate

sys.path.insert(0, str(Path(__file__).parent.parent / "fixtures"))

from keyed_draws import keyed_uniform
from laplacian import energy

from trials.augmentation.antialiased_crop import antialiased_resized_crop, crop_boxes
from trials.augmentation.augment import random_resized_crop
from trials.images.chosen_images import find_images
from trials.images.config import DataConfig
from trials.images.packed import open_images
from trials.images.recipe_images import trained_images, typical_side
from trials.recipe import Ramp, Recipe

PICTURES = 600
RATIOS = (1.0, 1.25, 1.5, 2.0, 2.5)


def proper(originals: Tensor, draws: Tensor, side: int) -> Tensor:
    """Crops of originals (B, S, S, 3), one after the other, in floats; mirroring changes no energy."""
    size = originals.shape[1]
    boxes = crop_boxes(draws, height=size, width=size)
    parts = [
        image[top : top + height, left : left + width].permute(2, 0, 1)[None].float()
        for image, (top, left, height, width) in zip(originals, boxes.tolist(), strict=True)
    ]
    resized = [interpolate(part, (side, side), mode="bilinear", antialias=True) for part in parts]
    return torch.cat(resized).permute(0, 2, 3, 1)


def ratios(source: str, side: int, cache: Path) -> dict[str, float]:
    """Energies over the proper way's; under `proper` the energy itself."""
    data = DataConfig(source=source)
    draws = keyed_uniform(0, 0, torch.arange(PICTURES), 5)

    def pixels(resolution: int, stored: int | str | None) -> Tensor:
        if stored is None:
            images = open_images(data, resolution=resolution, cache=cache)
        else:
            recipe = Recipe(
                epochs=1,
                batch_size=64,
                resolution=Ramp(side, side),
                crop="resized",
                stored_resolution=stored,  # type: ignore[arg-type]
            )
            images = trained_images(data, recipe, resolution, cache=cache)
        return torch.from_numpy(images.images[:PICTURES].copy())

    original = typical_side(find_images(data))
    reference = energy(proper(pixels(original, None), draws, side))
    reduced = pixels(side, None)
    found = {"stored": antialiased_resized_crop(pixels(side, "auto"), draws, side, flip=True)}
    for ratio in RATIOS:
        if (stored := round(ratio * side)) < original:
            found[f"{ratio:g}"] = antialiased_resized_crop(pixels(side, stored), draws, side, flip=True)
    found |= {"stage": random_resized_crop(reduced, draws, flip=True), "whole": reduced}
    return {"proper": reference} | {name: energy(images) / reference for name, images in found.items()}


def main() -> None:
    """Prints the energies; with --json writes them, too."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("images")
    parser.add_argument("--side", type=int, default=48, help="of the training stage, in pixels")
    parser.add_argument("--json", type=Path, help="file for the figures")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = ratios(arguments.images, arguments.side, Path(folder))
    print(
        f"{PICTURES} pictures at {arguments.side} px: energy of the proper way {figures.pop('proper'):,.0f}"
    )
    for name, ratio in figures.items():
        print(f"  {name:8s} {ratio:.3f}")
    if arguments.json:
        arguments.json.write_text(json.dumps({"side": arguments.side, **figures}, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""Sizes of pictures in training and evaluation, and how a picture becomes a square of pixels.

Random resized crops show objects larger than the whole picture does, so that networks trained on them are
evaluated on larger pictures: the paper trains about 20 % smaller (sections 3.3 and 5.1), up to 480 px.
"""

import math
from dataclasses import dataclass
from typing import Literal, get_args

Crop = Literal["squash", "center"]
EvaluationCrop = Literal["squash", "center", "official"]
Interpolation = Literal["bilinear", "bicubic", "lanczos"]
CROPS: tuple[str, ...] = get_args(EvaluationCrop)
INTERPOLATIONS: tuple[str, ...] = get_args(Interpolation)

# Of the evaluation's size, that is trained at: "about 20 % smaller" (EfficientNetV2, section 5.1), and
# google/automl's code.
TRAINING_SHARE = 0.8
LARGEST_EVALUATION = 480  # pixels (section 3.3): larger images cost memory and training time
CROP_PADDING = 32  # pixels: a centre crop of R px shows R / (R + 32) of the picture's shorter side
SQUASHED_FROM = 320  # pixels, from which on the official code evaluates whole pictures
# Of the side of stored pictures to the largest stage's. From Lanczos-filtered pictures of 2.5 times the size
# crops have 0.97 to 0.99 of the Laplacian energy of those of the original, of 2 times 0.92 to 0.94 (600
# pictures of Imagenette at 24 to 48 px; by the bilinear filter: 0.74 and 0.64).
STORED_RATIO = 2.5
# Mean share of the picture's side that a crop shows, its area being uniform from 5 to 100 %.
MEAN_SHARE = (1 - 0.05**1.5) / (1 - 0.05) * 2 / 3


@dataclass(frozen=True)
class PictureView:
    """The way from a picture to a square: squashed as a whole, or its centre with its aspect ratio kept."""

    crop: Crop = "squash"
    interpolation: Interpolation = "bilinear"  # all antialiased, as Pillow's

    def box(self, size: tuple[int, int], resolution: int) -> tuple[int, int, int, int] | None:
        """Left, top, right and lower edge in a picture of this size (width, height); None: all of it.

        The centre crop is the official code's (`preprocess_for_eval`).
        """
        if self.crop == "squash":
            return None
        side = max(1, int(min(size) * resolution / (resolution + CROP_PADDING)))
        left, top = (size[0] - side) // 2, (size[1] - side) // 2
        return left, top, left + side, top + side

    def shorter_side(self, resolution: int) -> int:
        """The shorter side of a picture that is shown at this resolution without being resized."""
        return resolution if self.crop == "squash" else resolution + CROP_PADDING


SQUASHED = PictureView()
STORED = PictureView(interpolation="lanczos")  # of pictures that crops are cut from: the sharpest filter


def evaluation_view(
    crop: EvaluationCrop | None, interpolation: Interpolation | None, *, resolution: int
) -> PictureView:
    """The view of pictures that are evaluated at a resolution; None: as in training, squashed, bilinear."""
    if crop == "official":
        crop = "center" if resolution < SQUASHED_FROM else "squash"
    return PictureView(crop or "squash", interpolation or "bilinear")


def default_evaluation_size(training: int, *, cut_from_larger: bool) -> int:
    """The size to evaluate at of a network that was trained at this size in the end.

    Padded crops show objects as large as the whole picture does; so do those of earlier versions' recipes.
    """
    if not cut_from_larger:
        return training
    return max(training, min(divisible(training / TRAINING_SHARE), LARGEST_EVALUATION))


def divisible(size: float) -> int:
    """The nearest size (pixels) that strides of networks divide: a multiple of 16, below 64 px of 8.

    Trained at 48 px, a network of stride 8 is worse at 60 px than at 56 and 64 (docs/measured/training.md).
    """
    step = 16 if size >= 64 else 8
    return max(1, int(size / step + 0.5)) * step


def stored_side(largest: int, *, typical: int, count: int, most_bytes: float) -> int:
    """Pixels of a side of the pictures that crops of up to `largest` px are cut from.

    So many that crops are nearly as sharp as those of the original; no more than the originals have
    (`typical`), and than `most_bytes` allow for `count` pictures, unless that would be below `largest`.
    """
    wanted = min(round(STORED_RATIO * largest), typical)
    affordable = int(math.sqrt(most_bytes / (3 * count)))
    return min(wanted, max(affordable, largest))

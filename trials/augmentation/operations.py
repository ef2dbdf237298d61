"""RandAugment's sixteen operations: their names, how strong they are, and which pixels they move where."""

import math
from typing import Literal

import torch
from torch import Tensor

# Lengths of Translate and Cutout: in proportion to the image's side, or the official code's at every side.
Pixels = Literal["scaled", "official"]

# The order makes families contiguous: all operations up to BRIGHTNESS map grey levels by a table that is the
# same for all images, those up to CONTRAST by one of the image's own, and all from ROTATE to TRANSLATE_Y are
# affine maps of coordinates.
OPS = (
    "invert",
    "posterize",
    "solarize",
    "solarize_add",
    "brightness",
    "auto_contrast",
    "equalize",
    "contrast",
    "color",
    "sharpness",
    "rotate",
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
    "cutout",
)
BRIGHTNESS, AUTO_CONTRAST, EQUALIZE, CONTRAST, COLOR, SHARPNESS, ROTATE = range(4, 11)
SHEAR_X, SHEAR_Y, TRANSLATE_X, TRANSLATE_Y, CUTOUT = range(11, 16)
DRAWS_PER_LAYER = 3  # which operation; its sign, or the row of its box; the column of its box
FILL = 128  # mid grey, as in the official code
OUTSIDE = 2**30  # as the place of a pixel: outside of its image
SIDE = 224  # pixels: side of the image at which lengths in proportion are the official code's
TRANSLATE, CUTOUT_HALF = 100, 40  # the official code's pixels at level 1


def codes_of(draws: Tensor) -> Tensor:
    """The operations (B,) that draws (B, DRAWS_PER_LAYER) choose, as places in OPS."""
    return (draws[:, 0] * len(OPS)).long()


def enhancement(level: Tensor) -> Tensor:
    """Factor of Color, Contrast, Brightness and Sharpness: 0.1 at level 0, 1.9 at 1; 1.0 changes nothing."""
    return (level * 1.8 + 0.1).float()


def length(official: int, side: int, pixels: Pixels) -> float:
    """The official code's length for an image of that side, in pixels."""
    return official * side / SIDE if pixels == "scaled" else float(official)


def cutout_half(level: Tensor, *, height: int, width: int, pixels: Pixels) -> Tensor:
    """Half of the side of Cutout's square in pixels; at level 1 the side is 80 pixels (scaled: of 224)."""
    return (level * length(CUTOUT_HALF, min(height, width), pixels)).long()


def inverse_maps(
    codes: Tensor, draws: Tensor, level: Tensor, *, height: int, width: int, pixels: Pixels
) -> Tensor:
    """Coefficients (B, 6) of x = a x' + b y' + c, y = d x' + e y' + f, from a pixel's place to its source.

    Every image has one of the operations; the others' parameters are 0 for it, so one formula serves all.
    An operation that moves nothing has the identity.
    """
    level = level.float()
    signed = torch.where(draws[:, 1] < 0.5, -level, level)
    angle = signed * (codes == ROTATE) * math.radians(30)  # counter-clockwise
    cosine, sine = angle.cos(), angle.sin()
    shear_x, shear_y = (signed * (codes == code) * 0.3 for code in (SHEAR_X, SHEAR_Y))
    shift_x = signed * (codes == TRANSLATE_X) * length(TRANSLATE, width, pixels)
    shift_y = signed * (codes == TRANSLATE_Y) * length(TRANSLATE, height, pixels)
    right, down = width / 2, height / 2  # the centre
    return torch.stack(
        [
            cosine,
            shear_x - sine,
            shift_x + right * (1 - cosine) + down * sine,
            shear_y + sine,
            cosine,
            shift_y + down * (1 - cosine) - right * sine,
        ],
        dim=1,
    )


def sources(level: Tensor, *, height: int, width: int, pixels: Pixels) -> Tensor:
    """Places of the nearest pixels, row * W + column, that each operation moves to all pixels of an image.

    All images of one operation and one sign have the same: `source_rows` says which.

    Returns:
        (12, H * W) int32; OUTSIDE stands for outside the image.
    """
    # Step 1: the maps of ROTATE to CUTOUT, which stands for all that moves nothing; negative, then positive.
    each = torch.arange(2 * (CUTOUT + 1 - ROTATE), device=level.device)
    draws = (each % 2 * 0.5 + 0.25)[:, None].expand(-1, DRAWS_PER_LAYER)
    maps = inverse_maps(ROTATE + each // 2, draws, level, height=height, width=width, pixels=pixels)[
        ..., None, None
    ]
    # Step 2: the source coordinates of every pixel's centre.
    x = torch.arange(width, device=level.device) + 0.5  # (W,)
    y = torch.arange(height, device=level.device)[:, None] + 0.5  # (H, 1)
    columns = (maps[:, 0] * x + maps[:, 1] * y + maps[:, 2]).floor().to(torch.int32)  # (12, H, W)
    rows = (maps[:, 3] * x + maps[:, 4] * y + maps[:, 5]).floor().to(torch.int32)
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    return torch.where(inside, rows * width + columns, OUTSIDE).flatten(1)


def source_rows(codes: Tensor, draws: Tensor) -> Tensor:
    """Rows (B,) of `sources` for the operations (B,) and signs of images."""
    moves = torch.where(codes < ROTATE, CUTOUT, codes)
    return (moves - ROTATE) * 2 + (draws[:, 1] >= 0.5)

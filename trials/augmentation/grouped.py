"""RandAugment on a CPU: the images of a batch are grouped by operation, so each pays for its own alone.

At 32 pixels a call of torch costs as much as its work on ten images. So families of operations share their
calls, and what depends on the strength alone is kept from batch to batch.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from trials.augmentation.grey_levels import (
    auto_contrast_tables,
    bins,
    blended,
    blurred,
    equalize_tables,
    fixed_tables,
    greys,
    rounded_mean,
)
from trials.augmentation.operations import (
    AUTO_CONTRAST,
    CONTRAST,
    CUTOUT,
    DRAWS_PER_LAYER,
    FILL,
    ROTATE,
    SHARPNESS,
    Pixels,
    codes_of,
    cutout_half,
    enhancement,
    source_rows,
    sources,
)

PIECE = 2**17  # bytes of images that are changed at once: their float32 then fit into a core's cache


@dataclass(frozen=True)
class _Strength:
    """The part of all operations that follows from their strength and the images' size."""

    tables: Tensor  # (5 * 256,) uint8, of the operations up to BRIGHTNESS
    places: Tensor  # (12, H * W) int32, see `sources`
    factor: Tensor  # 0-dim float32, see `enhancement`
    half: int  # pixels, half of the side of Cutout's square


@dataclass(frozen=True)
class _Piece:
    """Images that one family of operations changes."""

    pixels: Tensor  # (B * H * W + 1, 3) uint8 of the whole batch; the last one is FILL
    shape: torch.Size  # (B, H, W, 3)
    rows: Tensor  # (n,) places of the images in the batch
    codes: Tensor  # (n,), ascending
    draws: Tensor  # (n, DRAWS_PER_LAYER)

    def images(self) -> Tensor:
        """(n, H, W, 3) uint8, a copy."""
        return self.pixels[:-1].view(self.shape).index_select(0, self.rows)


def augment_groups(
    images: Tensor, uniforms: Tensor, level: Tensor, *, layers: int, lengths: Pixels
) -> Tensor:
    """Applies one random operation to each image, `layers` times; see `rand_augment`."""
    count, height, width, _ = shape = images.shape
    strength = _strength(float(level), height, width, lengths)
    most = max(1, PIECE // max(1, 3 * height * width))
    pixels, changed = torch.empty(2, count * height * width + 1, 3, dtype=torch.uint8)
    pixels[-1], changed[-1] = FILL, FILL
    pixels[:-1].view(shape).copy_(images)
    # Each layer leaves the images in the order of its operations; image i is then at places[i].
    places = torch.arange(count)
    for draws in uniforms.split(DRAWS_PER_LAYER, dim=1)[:layers]:
        codes, order = codes_of(draws).sort(stable=True)
        rows, draws = places.index_select(0, order), draws.index_select(0, order)
        results = changed[:-1].view(shape)
        borders = torch.searchsorted(codes, _FIRST_CODES).tolist()
        for change, start, stop in zip(_FAMILIES.values(), borders, [*borders[1:], count], strict=True):
            for first in range(start, stop, most):
                part = slice(first, min(first + most, stop))
                piece = _Piece(pixels, shape, rows[part], codes[part], draws[part])
                results[part] = change(piece, strength)
        places[order] = torch.arange(count)
        pixels, changed = changed, pixels
    return pixels[:-1].view(shape).index_select(0, places)


@lru_cache(maxsize=4)
def _strength(level: float, height: int, width: int, pixels: Pixels) -> _Strength:
    levels = torch.tensor(level, dtype=torch.float64)
    return _Strength(
        tables=fixed_tables(levels).flatten(),
        places=sources(levels, height=height, width=width, pixels=pixels),
        factor=enhancement(levels),
        half=int(cutout_half(levels, height=height, width=width, pixels=pixels)),
    )


def _fixed(piece: _Piece, strength: _Strength) -> Tensor:
    """INVERT to BRIGHTNESS: one look-up in the tables of all."""
    values = piece.images().flatten(1).to(torch.int32)
    values.add_((piece.codes * 256).to(torch.int32)[:, None])
    return strength.tables.index_select(0, values.flatten()).view(-1, *piece.shape[1:])


def _own_tables(piece: _Piece, strength: _Strength) -> Tensor:
    """AutoContrast and Equalize: a table for each image and channel."""
    images, borders = piece.images(), int((piece.codes == AUTO_CONTRAST).sum())
    places = bins(images)
    tables = torch.empty(len(images), 3, 256, dtype=torch.uint8)
    if borders:
        planes = _planes(images[:borders]).flatten(2)
        tables[:borders] = auto_contrast_tables(planes.amin(2), planes.amax(2))
    if borders < len(images):
        counts = torch.bincount(
            places[borders:].flatten() - borders * 768, minlength=(len(images) - borders) * 768
        )
        tables[borders:] = equalize_tables(counts.view(-1, 3, 256))
    return tables.flatten().index_select(0, places.flatten()).view(images.shape)


def _blends(piece: _Piece, strength: _Strength) -> Tensor:
    """Contrast and Color: blends of each image with its mean grey, or with its grey version."""
    values = _planes(piece.images()).float()
    plain = greys(values)  # (n, H, W)
    contrasts = int((piece.codes == CONTRAST).sum())
    if contrasts:
        sums = plain[:contrasts].sum((1, 2), dtype=torch.float64)
        plain[:contrasts] = rounded_mean(sums, plain[0].numel())[:, None, None]
    return blended(plain[:, None], values, strength.factor).movedim(1, 3)


def _planes(images: Tensor) -> Tensor:
    """Channels one after the other, (B, 3, H, W): what runs along rows of pixels is vectorised then."""
    return images.movedim(3, 1).contiguous()


def _sharpness(piece: _Piece, strength: _Strength) -> Tensor:
    """Blends each image with a blurred one; the border is left as it is, as in Pillow."""
    images = piece.images()
    values = images.flatten(2)  # (n, H, W * 3)
    middle = values[:, 1:-1, 3:-3]
    middle.copy_(blended(blurred(values), middle.float(), strength.factor))
    return images


def _moved(piece: _Piece, strength: _Strength) -> Tensor:
    """Rotate, Shear and Translate by inverse mapping: each pixel is looked up where it comes from."""
    outside = len(piece.pixels) - 1
    places = strength.places.index_select(0, source_rows(piece.codes, piece.draws))  # (n, H * W)
    places.add_((piece.rows * places.shape[1]).to(torch.int32)[:, None]).clamp_(max=outside)
    return piece.pixels.index_select(0, places.flatten()).view(-1, *piece.shape[1:])


def _cutout(piece: _Piece, strength: _Strength) -> Tensor:
    """Covers a random square with mid grey."""
    images = piece.images()
    height, width, half = *piece.shape[1:3], strength.half
    centres = (piece.draws[:, 1:3] * torch.tensor([height, width])).int().tolist()
    for image, (row, column) in zip(images.numpy(), centres, strict=True):
        image[max(0, row - half) : max(0, row + half), max(0, column - half) : max(0, column + half)] = FILL
    return images


_FAMILIES: dict[int, Callable[[_Piece, _Strength], Tensor]] = {  # by the first operation of each
    0: _fixed,
    AUTO_CONTRAST: _own_tables,
    CONTRAST: _blends,
    SHARPNESS: _sharpness,
    ROTATE: _moved,
    CUTOUT: _cutout,
}
_FIRST_CODES = torch.tensor(list(_FAMILIES))

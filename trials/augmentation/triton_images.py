"""Triton kernels that augment images (B, H, W, 3) uint8: each image pays for its own operation alone.

A program computes a block of the numbers of one image. `size` is H * W * 3, `width` is W. Grey levels are
computed in float32, as by torch's operators, and rounded or truncated as there.
"""

import triton
import triton.language as tl


@triton.jit
def _numbers(
    size: tl.tensor, BLOCK: tl.constexpr,
) -> tuple:  # fmt: skip
    """The image of this program, where it begins, and places of its block's numbers that exist."""
    image = tl.program_id(0)
    at = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    return image, image.to(tl.int64) * size, at, at < size


@triton.jit
def _value(
    images: tl.tensor, at: tl.tensor, here: tl.tensor,
) -> tl.tensor:  # fmt: skip
    return tl.load(images + at, mask=here, other=0).to(tl.int32)


@triton.jit
def _grey(
    images: tl.tensor, pixel: tl.tensor, here: tl.tensor,
) -> tl.tensor:  # fmt: skip
    """Luma of the pixels that begin at these places, as `greys` computes it."""
    red, green, blue = (
        _value(images, pixel, here),
        _value(images, pixel + 1, here),
        _value(images, pixel + 2, here),
    )
    return (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16


@triton.jit
def _between(
    start: tl.tensor, end: tl.tensor, weight: tl.tensor,
) -> tl.tensor:  # fmt: skip
    """torch.lerp."""
    return tl.where(weight < 0.5, start + weight * (end - start), end - (end - start) * (1 - weight))


@triton.jit
def _rounded(
    value: tl.tensor,
) -> tl.tensor:  # fmt: skip
    """The nearest whole number, of two the even one, of a number that is not negative."""
    number = value.to(tl.int32)
    rest = value - number.to(tl.float32)
    return (number + ((rest > 0.5) | ((rest == 0.5) & (number % 2 == 1))).to(tl.int32)).to(tl.uint8)


@triton.jit
def _blended(
    plain: tl.tensor, value: tl.tensor, factor: tl.tensor,
) -> tl.tensor:  # fmt: skip
    """As `blended`."""
    mixed = (value - plain).to(tl.float32) * factor + plain.to(tl.float32)
    return tl.minimum(tl.maximum(mixed, 0.0), 255.0).to(tl.int32)


@triton.jit
def resized_crop(
    images: tl.tensor, rows: tl.tensor, columns: tl.tensor, out: tl.tensor, size: tl.tensor,
    height: tl.tensor, width: tl.tensor, BLOCK: tl.constexpr,
) -> None:  # fmt: skip
    """Bilinear samples at fractional rows (B, H) and columns (B, W), first between columns, then rows."""
    image, first, at, here = _numbers(size, BLOCK)
    pixel, channel = at // 3, at % 3
    row = tl.load(rows + image * height + pixel // width, mask=here, other=0.0)
    column = tl.load(columns + image * width + pixel % width, mask=here, other=0.0)
    top, left = row.to(tl.int32), column.to(tl.int32)
    right, bottom = tl.minimum(left + 1, width - 1), tl.minimum(top + 1, height - 1)
    across = column - left.to(tl.float32)
    source = images + first
    upper = _between(
        _value(source, (top * width + left) * 3 + channel, here).to(tl.float32),
        _value(source, (top * width + right) * 3 + channel, here).to(tl.float32),
        across,
    )
    lower = _between(
        _value(source, (bottom * width + left) * 3 + channel, here).to(tl.float32),
        _value(source, (bottom * width + right) * 3 + channel, here).to(tl.float32),
        across,
    )
    tl.store(out + first + at, _rounded(_between(upper, lower, row - top.to(tl.float32))), mask=here)


@triton.jit
def _along(
    index: tl.tensor, box: tl.tensor, offset: tl.constexpr, resolution: tl.tensor,
) -> tuple:  # fmt: skip
    """A part along rows (offset 0) or columns (1): begin, length, centres, first taps, the filter's reach."""
    length = tl.load(box + 2 + offset).to(tl.int32)
    ratio = length.to(tl.float32) / resolution
    reach = tl.maximum(ratio, 1.0)
    centre = (index.to(tl.float32) + 0.5) * ratio
    first = tl.maximum(centre - reach + 0.5, 0.0).to(tl.int32)
    return tl.load(box + offset).to(tl.int32), length, centre, first, reach


@triton.jit
def _weight(
    place: tl.tensor, length: tl.tensor, centre: tl.tensor, reach: tl.tensor,
) -> tl.tensor:  # fmt: skip
    weight = 1.0 - tl.abs(place.to(tl.float32) + 0.5 - centre) / reach
    return tl.where(place < length, tl.maximum(weight, 0.0), 0.0)


@triton.jit
def antialiased_crop(
    images: tl.tensor, boxes: tl.tensor, mirrored: tl.tensor, out: tl.tensor, size: tl.tensor,
    image_size: tl.tensor, width: tl.tensor, resolution: tl.tensor, BLOCK: tl.constexpr,
) -> None:  # fmt: skip
    """A part of each image, boxes (B, 4), resized by a triangle filter; see antialiased_crop.py.

    `size` and `image_size` are the numbers of a result and of an image.
    """
    image, first, at, here = _numbers(size, BLOCK)
    pixel, channel = at // 3, at % 3
    index, box = pixel % resolution, boxes + image * 4
    index = tl.where(tl.load(mirrored + image) != 0, resolution - 1 - index, index)
    top, height, centre_y, first_y, reach_y = _along(pixel // resolution, box, 0, resolution)
    left, length, centre_x, first_x, reach_x = _along(index, box, 1, resolution)
    source = images + image.to(tl.int64) * image_size + channel
    taps_y, taps_x = (2 * reach_y).to(tl.int32) + 2, (2 * reach_x).to(tl.int32) + 2
    total = tl.zeros([BLOCK], tl.float32)
    weight_y = tl.zeros([BLOCK], tl.float32)
    weight_x = tl.zeros([BLOCK], tl.float32)
    for right in range(taps_x):
        weight_x += _weight(first_x + right, length, centre_x, reach_x)
    for down in range(taps_y):
        y = first_y + down
        line = tl.zeros([BLOCK], tl.float32)
        for right in range(taps_x):
            x = first_x + right
            inside = here & (y < height) & (x < length)
            value = _value(source, ((top + y) * width + left + x) * 3, inside).to(tl.float32)
            line += _weight(x, length, centre_x, reach_x) * value
        weight = _weight(y, height, centre_y, reach_y)
        total += weight * line
        weight_y += weight
    tl.store(out + first + at, _rounded(total / (weight_y * weight_x)), mask=here)


@triton.jit
def mixed(
    images: tl.tensor, weights: tl.tensor, out: tl.tensor, size: tl.tensor, count: tl.tensor,
    BLOCK: tl.constexpr,
) -> None:  # fmt: skip
    """Blends each image with the one opposite in the batch; its own weight is weights (B,)."""
    image, first, at, here = _numbers(size, BLOCK)
    own = _value(images + first, at, here).to(tl.float32)
    partner = _value(images + (count - 1 - image).to(tl.int64) * size, at, here).to(tl.float32)
    tl.store(out + first + at, _rounded(_between(partner, own, tl.load(weights + image))), mask=here)


@triton.jit
def statistics(
    images: tl.tensor, codes: tl.tensor, counts: tl.tensor, grey_sums: tl.tensor, pixels: tl.tensor,
    AUTO_CONTRAST: tl.constexpr, EQUALIZE: tl.constexpr, CONTRAST: tl.constexpr, BLOCK: tl.constexpr,
) -> None:  # fmt: skip
    """Histograms (B, 3, 256) and sums of greys (B,), of images whose operation asks for them."""
    image, _, pixel, here = _numbers(pixels, BLOCK)
    source = images + image.to(tl.int64) * pixels * 3
    code = tl.load(codes + image)
    if (code == AUTO_CONTRAST) | (code == EQUALIZE):
        level = tl.arange(0, 256)
        for channel in tl.static_range(3):
            found = tl.histogram(_value(source, pixel * 3 + channel, here), 256)
            # Places beyond the image's end were counted as black.
            found -= tl.where(level == 0, BLOCK - tl.sum(here.to(tl.int32)), 0)
            tl.atomic_add(counts + (image * 3 + channel) * 256 + level, found, mask=found > 0)
    if code == CONTRAST:
        tl.atomic_add(
            grey_sums + image, tl.sum(tl.where(here, _grey(source, pixel * 3, here), 0)).to(tl.int64)
        )


@triton.jit
def operation(
    images: tl.tensor, codes: tl.tensor, draws: tl.tensor, maps: tl.tensor, tables: tl.tensor,
    factor: tl.tensor, half: tl.tensor, out: tl.tensor, size: tl.tensor, height: tl.tensor,
    width: tl.tensor, CONTRAST: tl.constexpr, COLOR: tl.constexpr, SHARPNESS: tl.constexpr,
    CUTOUT: tl.constexpr, DRAWS: tl.constexpr, FILL: tl.constexpr, BLOCK: tl.constexpr,
) -> None:  # fmt: skip
    """One operation for each image; see operations.py."""
    image, first, at, here = _numbers(size, BLOCK)
    pixel, channel = at // 3, at % 3
    y, x = pixel // width, pixel % width
    source, out = images + first, out + first
    code = tl.load(codes + image)
    if code <= CONTRAST:
        value = _value(source, at, here)
        tl.store(
            out + at, tl.load(tables + (image * 3 + channel) * 256 + value, mask=here, other=0), mask=here
        )
    elif code == COLOR:
        blend = _blended(_grey(source, pixel * 3, here), _value(source, at, here), tl.load(factor))
        tl.store(out + at, blend.to(tl.uint8), mask=here)
    elif code == SHARPNESS:
        value = _value(source, at, here)
        inner = here & (y > 0) & (y < height - 1) & (x > 0) & (x < width - 1)
        total = 4 * value + 6  # so that whole thirteenths are rounded
        for down in tl.static_range(-1, 2):
            for right in tl.static_range(-1, 2):
                total += _value(source, at + (down * width + right) * 3, inner)
        blend = _blended(total // 13, value, tl.load(factor))
        tl.store(out + at, tl.where(inner, blend, value).to(tl.uint8), mask=here)
    elif code < CUTOUT:
        centre_x, centre_y = x.to(tl.float32) + 0.5, y.to(tl.float32) + 0.5
        m = maps + image * 6
        column = tl.load(m) * centre_x + tl.load(m + 1) * centre_y + tl.load(m + 2)
        row = tl.load(m + 3) * centre_x + tl.load(m + 4) * centre_y + tl.load(m + 5)
        inside = here & (column >= 0) & (column < width) & (row >= 0) & (row < height)
        # Not negative where inside, so that truncating is rounding down.
        place = (row.to(tl.int32) * width + column.to(tl.int32)) * 3 + channel
        tl.store(out + at, tl.load(source + place, mask=inside, other=FILL), mask=here)
    else:
        reach = tl.load(half).to(tl.int32)
        down = y - (tl.load(draws + image * DRAWS + 1) * height).to(tl.int32)
        right = x - (tl.load(draws + image * DRAWS + 2) * width).to(tl.int32)
        covered = (down >= -reach) & (down < reach) & (right >= -reach) & (right < reach)
        tl.store(out + at, tl.where(covered, FILL, _value(source, at, here)).to(tl.uint8), mask=here)

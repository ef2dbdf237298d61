"""The tiles and grids in which the kernels walk over a (rows, channels) matrix, and how many they launch.

A channels_last tensor (N, C, H, W) lies in memory as N * H * W rows of C channels. Sizes are chosen for
kernels that wait for memory: wide rows, so that a tile is one stretch of memory, and a few thousand entries.
"""

from dataclasses import dataclass

MIN_CHANNELS, MAX_CHANNELS = 32, 256  # of a tile
TILE = 4096  # entries
TILES_IN_A_ROW = 4  # that one program of an elementwise kernel computes; it reads each channel's numbers once
PROGRAMS = 528  # of a reduction, 4 for each of an H100's or H200's 132 multiprocessors
MAX_SPLITS = 512  # of the rows, whose sums the second stage adds up
SINGLE_ROWS = 1024  # up to which one program holds all rows of its channels, and one kernel does everything


@dataclass(frozen=True)
class Tiles:
    """Tiles of a matrix, of `rows` x `channels` entries each, and how its rows are split for sums."""

    rows: int
    channels: int
    blocks: int  # of channels
    splits: int  # of the rows, in a reduction
    rows_per_split: int  # a multiple of `rows`

    @property
    def elementwise_rows(self) -> int:
        """Rows of one program of an elementwise kernel."""
        return self.rows * TILES_IN_A_ROW

    def programs(self, rows: int) -> int:
        """Programs of an elementwise kernel over so many rows."""
        return self.blocks * over(rows, self.elementwise_rows)


def tiles_of(rows: int, channels: int) -> Tiles:
    """The tiles of a matrix of this many rows and channels."""
    wide = width_of(channels)
    high = max(TILE // wide, 1)
    blocks = over(channels, wide)
    wanted = min(max(PROGRAMS // blocks, 1), MAX_SPLITS, over(rows, high))
    per_split = over(over(rows, wanted), high) * high
    return Tiles(high, wide, blocks, over(rows, per_split), per_split)


def width_of(channels: int) -> int:
    """Channels of a tile: all of them where they fit, else the width that leaves the least of it empty."""
    if channels <= MAX_CHANNELS:
        return max(power_of_two(channels), MIN_CHANNELS)
    widths = (256, 128, 64)
    return min(widths, key=lambda width: (over(channels, width) * width, -width))


def over(number: int, size: int) -> int:
    """Parts of this size that hold the number."""
    return -(-number // size)


def factor_of(number: int) -> int:
    """8 where it divides the number, else 1. A product shows where addresses allow wide loads."""
    return 8 if number % 8 == 0 else 1


def power_of_two(number: int) -> int:
    """The smallest power of two that is not below a number of at least 1."""
    return 1 << (number - 1).bit_length()


def is_single(rows: int) -> bool:
    """True if one kernel computes a whole forward or backward pass of batch norm."""
    return rows <= SINGLE_ROWS


def single_tile(rows: int) -> tuple[int, int]:
    """Rows and channels of the tile that holds all rows: up to 8,192 entries, which registers hold."""
    high = max(power_of_two(rows), 16)
    return high, max(8192 // high, 8) if high >= 256 else 32

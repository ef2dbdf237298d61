"""Images that cannot be packed as they are asked for: too many unreadable ones, too little room."""

import math
import shutil
from dataclasses import dataclass
from pathlib import Path

from search_spaces.settings.sentences import some
from trials.images.config import DataConfig
from trials.images.decode import TOO_LARGE

FREE_SPACE_MARGIN = 1.1  # times a pack's size that must be free


def corrupt_sentence(names: tuple[str, ...], total: int) -> str:
    """A sentence with the number of unreadable pictures and the names of the first ones."""
    return f"{len(names):,} of {total:,} pictures cannot be read: {some(names, between='; ')}"


@dataclass(frozen=True)
class PackRefusals:
    """Checks of a pack whose messages say what mends it.

    Images of a search or a training have keys under `data` for that (`has_keys`); those that are only
    evaluated come from a command's options, which the command names itself.
    """

    config: DataConfig
    has_keys: bool

    def check_corrupt(self, corrupt: list[tuple[int, str]], *, total: int) -> None:
        """Refuses more unreadable pictures than may be left out.

        Raises:
            ValueError: there are more.
        """
        if len(corrupt) <= self.config.max_corrupt * total:
            return
        names = tuple(name for _, name in corrupt)
        keys = ""
        if self.has_keys:
            share = f"data.max_corrupt ({self.config.max_corrupt:g} now)"
            keys = f"; {share} is the share that is left out without asking"
            if any(TOO_LARGE in name for name in names):
                keys += ", and data.max_pixels the size up to which pictures are read"
        raise ValueError(f"{corrupt_sentence(names, total)}. Remove or replace them{keys}")

    def check_space(self, folder: Path, shape: tuple[int, ...]) -> None:
        """Checks that there is room in a folder for a pack of pixels (N, R, R, 3) uint8.

        Raises:
            ValueError: there is not enough.
        """
        needed, free = math.prod(shape), shutil.disk_usage(folder).free
        if free < FREE_SPACE_MARGIN * needed:
            fewer = ", or use fewer images (data.fraction)" if self.has_keys else ""
            raise ValueError(
                f"{folder}: packing {shape[0]:,} images at {shape[1]} px needs {needed / 1e9:.1f} GB and "
                f"{free / 1e9:.1f} GB are free; make room, or set XDG_CACHE_HOME to another folder{fewer}"
            )

"""The folder of everything that is kept between runs and can be made again."""

import os
from pathlib import Path


def cache_folder(of: str) -> Path:
    """The folder of one kind of cached files, below $XDG_CACHE_HOME or ~/.cache; it need not exist."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "training-aware-nas" / of

"""The folder of everything that is kept between runs and can be made again."""

import os
from pathlib import Path


def cache_folder(of: str) -> Path:
    """Where one kind of thing is kept, as packs: below $XDG_CACHE_HOME or ~/.cache. It need not exist."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "training-aware-nas" / of

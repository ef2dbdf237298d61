"""Images of a run or a training in commands that are typed in another folder than theirs."""

import glob
import os

from nas.advising.advice import IMAGES
from trials.images.sources import DIGITS


def is_elsewhere(source: str) -> bool:
    """True of images that were named by a path from another folder than this one."""
    path = os.path.expanduser(source)
    if source == DIGITS or "://" in source or "::" in source or os.path.isabs(path):
        return False
    return not os.path.exists(path) and not glob.glob(path)


def images_of(source: str) -> str:
    """The word that names recorded images in a command: the placeholder where they lie elsewhere."""
    return IMAGES if is_elsewhere(source) else source


def where_images_are(source: str) -> str:
    """The end of a reason, about images that lie elsewhere; else empty."""
    return f"; its images, {source}, are not in this folder" if is_elsewhere(source) else ""

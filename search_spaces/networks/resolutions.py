"""The resolutions that a network can take: at least its total stride."""

from search_spaces.networks.architecture import Architecture


def check_resolution(architecture: Architecture, resolution: int) -> None:
    """Checks that images are at least as large as the total stride, so that every stage sees a pixel.

    Raises:
        ValueError: they are smaller; the message names the smallest side that works.
    """
    if resolution < architecture.total_stride:
        raise ValueError(
            f"images of {resolution} px are too small for a total stride of {architecture.total_stride}; "
            f"use {architecture.total_stride} px or more, or fewer stages of stride 2"
        )

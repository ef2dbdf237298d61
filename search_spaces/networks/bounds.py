"""Bounds of resolutions, batches, epochs and pictures; light for the help, which must not import torch."""

SMALLEST_RESOLUTION = 8  # pixels of a side
LARGEST_RESOLUTION = 4096  # of networks that are counted, measured and used; recipes end at half of it
LARGEST_BATCH = 65_536  # images
LARGEST_EPOCHS = 100_000
# Bounds of --max-pixels: pixels of a picture that is read.
SMALLEST_MAX_PIXELS, LARGEST_MAX_PIXELS = 64 * 64, 170_000_000
LARGEST_RADIUS = 8  # of a space around a network: steps of its options, and layers

"""Bounds of resolutions and batches; light enough for a command's help, which must not import torch."""

SMALLEST_RESOLUTION = 8  # pixels of a side
LARGEST_RESOLUTION = 4096  # of networks that are counted, measured and used; recipes end at half of it
LARGEST_BATCH = 65_536  # images

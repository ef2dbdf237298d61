"""Bounds of channels, layers, resolutions, batches, epochs and pictures; without torch, for the help."""

# Far beyond any published network (L2: 2,752 channels, 85 blocks); a number above is a typing error.
MAX_CHANNELS = 16_384
MAX_LAYERS = 256
SMALLEST_RESOLUTION = 8  # pixels of a side
LARGEST_RESOLUTION = 4096  # of networks that are counted, measured and used; recipes end at half of it
LARGEST_BATCH = 65_536  # images
LARGEST_EPOCHS = 100_000
# Bounds of --max-pixels: pixels of a picture that is read.
SMALLEST_MAX_PIXELS, LARGEST_MAX_PIXELS = 64 * 64, 170_000_000
LARGEST_RADIUS = 8  # of a space around a network: steps of its options, and layers

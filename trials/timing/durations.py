"""Durations of the measurements of a device's rates and of a step's parts."""

CEILING_PASSES = 7  # measurements of each ceiling, of which the highest counts
CEILING_SECONDS = 0.2  # of each
MATRIX_SIDE = {"cpu": 1536, "cuda": 8192}
COPIED_BYTES = {"cpu": 2**28, "cuda": 2**31}  # more than any cache holds

# Steps of which the parts are marked: as many as fill the seconds, and at least the fewest
PARTS_SECONDS, FEWEST_STEPS = 1.0, 5

"""Mistakes of newcomers: keys on another level, values of another shape, numbers in other words."""

from error_cases import Case, in_search, in_space
from small_files import SEARCH

NEWCOMERS = (
    in_search("a key of the recipe, which is a file", f"{SEARCH}learning_rate: 0.1\n"),
    in_space("a key of stages beside them", "head_channels:", "layers: 2\nhead_channels:"),
    in_space("a range of layers", "layers: [1, 2]", "layers: 1-3"),
    in_space("ops as one text", "[mbconv, fused_mbconv]", "'mbconv, fused_mbconv'"),
    in_search("equals signs for colons", "space = tiny\nseed = 0\n"),
    Case("a ramp as a list", ("search", "quick", "--set", "recipe.resolution=[16, 32]")),
    Case("a formula", ("search", "quick", "--set", "recipe.learning_rate=1/64")),
    Case("images as one word", ("search", "quick", "--set", "data=digits")),
)

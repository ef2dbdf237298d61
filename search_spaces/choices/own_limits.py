"""Limits as multiples of one network's own costs, as they are typed: params=1.2."""

import math
from collections.abc import Sequence

from search_spaces.choices.limits import COUNTED
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.near_names import suggestion

LIMITED = (*COUNTED, "step_time_ratio", "inference_time_ratio")
# Step time is a ratio at any size of images; MACs would be a limit at one size alone.
DEFAULT_LIMITS = {"params": 1.2, "step_time_ratio": 1.2}
NO_LIMITS = "none"


def read_limits(words: Sequence[str]) -> dict[str, float]:
    """Factors of limits from words such as params=1.2; DEFAULT_LIMITS without words.

    Raises:
        ConfigError: a word is no such limit, or names one twice.
    """
    if not words:
        return dict(DEFAULT_LIMITS)
    if list(words) == [NO_LIMITS]:
        return {}
    found: dict[str, float] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if name not in LIMITED or not equals:
            expected = f"{', '.join(f'{each}=FACTOR' for each in LIMITED)}, or {NO_LIMITS} alone"
            raise ConfigError(f"--limit {word}: expected {expected}{suggestion(name, LIMITED)}")
        if name in found:
            raise ConfigError(f"--limit {name}=…: given twice; give it once")
        found[name] = _factor(text, word)
    return found


def _factor(text: str, word: str) -> float:
    try:
        factor = float(text)
    except ValueError:
        factor = math.nan
    if not (math.isfinite(factor) and factor > 0):
        raise ConfigError(f"--limit {word}: '{text}' given; expected a factor above 0, as in 1.2")
    return factor

"""Number of classes and resolution that an architecture's file records as its origin, with defaults."""

from search_spaces.networks.architecture import Architecture
from search_spaces.networks.bounds import LARGEST_RESOLUTION
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.places import shown

DEFAULT_CLASSES, DEFAULT_RESOLUTION = 1000, 224
LARGEST = {
    "num_classes": 1_000_000,
    "resolution": LARGEST_RESOLUTION,
    "training_resolution": LARGEST_RESOLUTION,
}


def provenance_number(architecture: Architecture, key: str, default: int, *, name: str) -> int:
    """The number under `key` in the file's provenance, or the default where there is none.

    Provenance is free text that anybody may have edited, so it is checked before use.

    Raises:
        ConfigError: the value is no whole number in the range of classes or pixels.
    """
    value = (architecture.provenance or {}).get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or not 2 <= value <= LARGEST[key]:
        raise ConfigError(
            f"{name}: provenance.{key}: {shown(value)} is no whole number from 2 to {LARGEST[key]:,}"
        )
    return value

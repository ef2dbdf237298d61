"""Classes and resolution that an architecture's file names as its origin, and their defaults."""

from search_spaces.networks.architecture import Architecture
from search_spaces.settings.yaml_files import ConfigError

DEFAULT_CLASSES, DEFAULT_RESOLUTION = 1000, 224
MOST = {"num_classes": 1_000_000, "resolution": 4096, "training_resolution": 4096}


def provenance_number(architecture: Architecture, key: str, default: int, *, name: str) -> int:
    """What the file's provenance says, which anybody may have written; else the default.

    Raises:
        ConfigError: it is no number of classes or pixels.
    """
    value = (architecture.provenance or {}).get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or not 2 <= value <= MOST[key]:
        raise ConfigError(f"{name}: provenance.{key}: {value!r} is no whole number from 2 to {MOST[key]:,}")
    return value

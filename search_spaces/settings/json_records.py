"""Small JSON files beside a log, each written by one part of the project and read back by it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.json_text import json_value

Record = TypeVar("Record")


def read_record(path: Path, record_of: Callable[[Any], Record], *, if_damaged: str) -> Record | None:
    """The record that `record_of` makes of the file's value; None without the file.

    Args:
        record_of: raises ValueError, TypeError, KeyError or AttributeError on a value that it does not know.
        if_damaged: ends the message "damaged: ...": what is lost, or what to do.

    Raises:
        ConfigError: the file does not read, or holds something else.
    """
    try:
        return record_of(json_value(path.read_bytes()))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, KeyError, AttributeError):
        raise ConfigError(f"{path}: damaged: {if_damaged}") from None

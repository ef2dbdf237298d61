"""Errors within a user's module as one sentence, except those of the device, which others handle."""

from collections.abc import Iterator
from contextlib import contextmanager

from search_spaces.networks.users_code import error_of_users, place_of
from search_spaces.settings.config_error import ConfigError
from trials.devices.device_errors import CaptureFailedError, is_out_of_memory


@contextmanager
def users_errors(name: str, doing: str, *, must_be_users: bool = False) -> Iterator[None]:
    """Turns what a user's module raises within the block into one sentence.

    Memory that ran out, and work that cannot be a CUDA graph, are raised as they are.

    Args:
        name: of the network.
        doing: what it was asked for, as in "its forward pass".
        must_be_users: an error without a line of the user's on its way is raised as it is, too.

    Raises:
        ConfigError: with the place in the user's file, where one is on the way.
    """
    try:
        yield
    except ConfigError:
        raise
    except (Exception, SystemExit) as error:
        if isinstance(error, Exception) and (
            isinstance(error, CaptureFailedError) or is_out_of_memory(error)
        ):
            raise
        if must_be_users and place_of(error) is None:
            raise
        raise error_of_users(name, doing, error) from error

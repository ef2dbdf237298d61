"""Images that a search cannot use: the setting of its file that is to blame."""

from collections.abc import Iterator
from contextlib import contextmanager

from search_spaces.settings.setting_errors import SettingError, blaming
from trials.images.listing import MissingSourceError


@contextmanager
def refused_images(*, advice: str | None = None) -> Iterator[None]:
    """Turns an error of opening images within the block into a SettingError.

    Args:
        advice: what to do where there are no images at all.
    """
    with blaming(("data",)):
        try:
            yield
        except MissingSourceError as error:
            sentence = f"{error}; {advice}" if advice else str(error)
            raise SettingError(("data", "source"), sentence) from error

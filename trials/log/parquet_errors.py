"""One kind of error for all that reading damaged Parquet leads to."""

from collections.abc import Iterator
from contextlib import contextmanager

from search_spaces.settings.sentences import first_line


class UnreadableParquetError(ValueError):
    """A file is no Parquet that can be read; the message says why in one line."""


@contextmanager
def parquet_refused() -> Iterator[None]:
    """Turns every error of reading Parquet within the block into an UnreadableParquetError.

    Of a single changed byte Arrow makes an ArrowException, an OSError or a UnicodeError, as it comes; a file
    that is gone is not one of these, and is left as it is.
    """
    try:
        yield
    except (FileNotFoundError, UnreadableParquetError):
        raise
    except Exception as error:
        raise UnreadableParquetError(first_line(error)) from None

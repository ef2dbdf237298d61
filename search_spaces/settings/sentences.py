"""Parts of sentences: names of files, the first of many names, the first line of an error."""

from collections.abc import Iterable, Sequence


def some(names: Sequence[str], *, most: int = 3, between: str = ", ") -> str:
    """The first of some names, and how many more there are."""
    more = f"{between}and {len(names) - most:,} more" if len(names) > most else ""
    return between.join(names[:most]) + more


def numbers(values: Iterable[int], *, most: int = 10) -> str:
    """The first of some whole numbers in order, and how many more there are."""
    return some([str(value) for value in sorted(values)], most=most)


def plain_name(name: str) -> str:
    """A file's name as text that can be written; bytes of it that are no UTF-8 as \\xNN."""
    return name.encode(errors="surrogateescape").decode("utf-8", "backslashreplace")


def first_line(error: BaseException) -> str:
    """The first line of what an error says, or its kind where it says nothing."""
    return (str(error).splitlines() or [type(error).__name__])[0]

"""Parts of sentences: names of files, the first of many names, the first line of an error."""

from collections.abc import Iterable, Sequence

# Characters that end a line to a terminal or to Python, and the tab, which shifts a table's columns.
BREAKS = {
    ord(each): each.encode("unicode_escape").decode() for each in "\t\n\v\f\r\x1c\x1d\x1e\x85\u2028\u2029"
}


def some(names: Sequence[str], *, most: int = 3, between: str = ", ") -> str:
    """The first of some names, each in one line, and how many more there are."""
    more = f"{between}and {len(names) - most:,} more" if len(names) > most else ""
    return between.join(map(one_line, names[:most])) + more


def one_line(text: str) -> str:
    """Text with names made by others, such as a class's, in one line: breaks and tabs in it as escapes."""
    return text.translate(BREAKS)


def numbers(values: Iterable[int]) -> str:
    """The first of some whole numbers in order, and how many more there are."""
    return some([str(value) for value in sorted(values)], most=10)


def plain_name(name: str) -> str:
    """A file's name as text that can be written; bytes of it that are no UTF-8 as \\xNN."""
    return name.encode(errors="surrogateescape").decode("utf-8", "backslashreplace")


def first_line(error: BaseException) -> str:
    """The first line of what an error says, or its kind where it says nothing."""
    return (str(error).splitlines() or [type(error).__name__])[0]

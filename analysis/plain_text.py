"""Names made by others in pictures: shown as they are; to matplotlib dollar signs would begin a formula."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from search_spaces.settings.sentences import one_line, plain_name

P = ParamSpec("P")
R = TypeVar("R")


def drawable(name: str) -> str:
    """A name as matplotlib can draw it, in one line; it refuses names with bytes that are no UTF-8."""
    return one_line(plain_name(name))


def plain_text(draw: Callable[P, R]) -> Callable[P, R]:
    """Decorates a function that draws with matplotlib: none of the text in its picture is a formula."""

    @wraps(draw)
    def drawn(*args: P.args, **named: P.kwargs) -> R:
        import matplotlib  # a second, and only pictures need it

        with matplotlib.rc_context({"text.parse_math": False}):
            return draw(*args, **named)

    return drawn

"""HTML and SVG as text; text that comes from files is escaped here, and only here."""

from collections.abc import Iterable
from html import escape
from typing import Any


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


def tag(name: str, *content: Any, **attributes: Any) -> Markup:
    """An element. Content that is no Markup is escaped; of attributes `class_` is class, `_` is a hyphen.

    Floats are written to a tenth of a pixel, attributes of None are left out.
    """
    words = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_short(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    inner = join(content)
    if not inner and name in ("rect", "circle", "line", "path", "polyline", "br", "input"):
        return Markup(f"<{name}{words}/>")
    return Markup(f"<{name}{words}>{inner}</{name}>")


def join(parts: Iterable[Any]) -> Markup:
    """Parts one after another."""
    return Markup("".join(part if isinstance(part, Markup) else escape(str(part)) for part in parts))


def _short(value: Any) -> str:
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)


def table(head: Iterable[Any], rows: Iterable[Iterable[Any]], *, left: int = 1) -> Markup:
    """A table; the first `left` columns hold words, the others figures."""

    def cells(kind: str, row: Iterable[Any]) -> Markup:
        found = (tag(kind, cell, class_=None if i < left else "n") for i, cell in enumerate(row))
        return tag("tr", *found)

    body = tag("tbody", *(cells("td", row) for row in rows))
    return tag("div", tag("table", tag("thead", cells("th", head)), body), class_="scroll")


def figure(picture: Markup, caption: Any) -> Markup:
    """A picture with what it says."""
    hint = "Point at a mark, or tap it, to read what it is."
    tip = tag("p", hint, class_="tip", aria_live="polite") if "<title>" in picture else Markup("")
    return tag("figure", picture, tag("figcaption", caption), tip)


def details(summary: str, *content: Any) -> Markup:
    """Content that is shown on demand."""
    return tag("details", tag("summary", summary), *content)

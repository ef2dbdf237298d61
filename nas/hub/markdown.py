"""Markdown of cards: names made by others are shown as they are, and none of them is markup."""

import re
from collections.abc import Iterable, Sequence

from search_spaces.settings.sentences import one_line, plain_name

SPECIAL = re.compile(r"([\\`*_{}\[\]#!|<>~&$:@])")
WWW = re.compile(r"(?i)(www)\.")  # begins a link without any other sign
LONGEST = 200  # characters of a name
CONTROL = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))} | {
    code: f"\\u{code:04x}"
    for code in (0x200B, 0x200E, 0x200F, 0x2060, 0xFEFF, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
}


def plain(text: str) -> str:
    """A name of somebody's as one line of text in Markdown: every sign that could be markup is escaped."""
    line = one_line(plain_name(text)).translate(CONTROL)
    shown = line if len(line) <= LONGEST else line[:LONGEST] + "…"
    return WWW.sub(r"\1\\.", SPECIAL.sub(r"\\\1", shown))


def code(text: str) -> str:
    """A name as inline code: its backquotes, and what breaks a table's cell, are replaced."""
    line = one_line(plain_name(text)).translate(CONTROL)
    return f"`{line.replace('`', chr(0x2BC)).replace('|', chr(0x2502))}`"


def table(headers: Sequence[str], rows: Iterable[Sequence[str]], *, left: int = 1) -> str:
    """A table whose cells are Markdown; the first `left` columns are aligned to the left."""
    marks = ["---" if i < left else "---:" for i in range(len(headers))]
    lines = [headers, marks, *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def fenced(language: str, text: str) -> str:
    """A block of code; its fence is longer than any in the text."""
    fence = max(["```", *(run + "`" for run in re.findall("`{3,}", text))], key=len)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"

"""Signatures without what only a validator or the command line reads."""

import re

# Defaults that are no expressions.
OBJECT = re.compile(r"<(?:factory|function [\w.]+(?:<\w+>)?|[\w.]+ object at 0x[0-9a-f]+)>")


def plain_signature(text: str) -> str:
    """A signature in which `Annotated[type, …]` is the type, and a default that cannot be read is `...`."""
    found = re.search(r"~?(?:\w+\.)*\bAnnotated\[", text)
    if found is None:
        return OBJECT.sub("...", text)
    inner, after = _split(text[found.end() :])
    return plain_signature(text[: found.start()] + inner + after)


def _split(text: str) -> tuple[str, str]:
    """The first of some arguments in brackets, and what follows the closing bracket."""
    depth, first = 0, None
    for place, mark in enumerate(text):
        if mark == "," and depth == 0 and first is None:
            first = text[:place]
        elif mark in "[(":
            depth += 1
        elif mark in "])":
            if depth == 0:
                return text[:place] if first is None else first, text[place + 1 :]
            depth -= 1
    return text, ""

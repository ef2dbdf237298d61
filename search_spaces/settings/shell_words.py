"""Words of commands that are printed for a shell: paths, and values of --set."""

import json
from pathlib import Path
from shlex import quote

from search_spaces.settings.parsing import plain_values


def path_word(path: Path | str) -> str:
    """A path, quoted; behind ./ where it begins with a hyphen, as an option does."""
    text = str(path)
    return quote(f"./{text}" if text.startswith("-") else text)


def set_words(key: str, text: str) -> str:
    """The option that sets a key to this text: in YAML's quotes where it reads as another value without."""
    try:
        is_plain = plain_values(text).value == text
    except ValueError:
        is_plain = False
    return f"--set {quote(f'{key}={text if is_plain else json.dumps(text, ensure_ascii=False)}')}"

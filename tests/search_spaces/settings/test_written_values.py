"""Values that files hold otherwise than by their fields."""

from typing import Annotated, ClassVar

import pytest
from pydantic import PlainValidator
from pydantic.dataclasses import dataclass

from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.yaml_files import from_mapping, yaml_text


@dataclass(frozen=True)
class Shorthand:
    """A value that files hold as a word."""

    WRITTEN_AS: ClassVar[str] = "a word"

    letters: tuple[str, ...]
    written: str


@dataclass(frozen=True)
class Holder:
    """A file with such a value."""

    word: Annotated[Shorthand, PlainValidator(lambda text: Shorthand(tuple(text), text))]


def test_a_value_that_files_hold_otherwise_than_by_its_fields_is_written_as_it_was() -> None:
    made = from_mapping(Holder, {"word": "abc"}, name="h.yaml")
    assert made.word.letters == ("a", "b", "c")
    assert yaml_text(made) == "word: abc\n"
    with pytest.raises(ConfigError, match=r"^h\.yaml: word: missing; expected a word$"):
        from_mapping(Holder, {}, name="h.yaml")

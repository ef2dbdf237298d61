"""Advice: the state of a folder, and steps with their reasons and commands."""

from dataclasses import dataclass
from typing import Literal

from search_spaces.settings.sentences import one_line

Kind = Literal["search", "training", "comparison", "images", "nothing"]

# Words in commands that only the user knows.
IMAGES = "IMAGES"  # labelled images
PICTURES = "PICTURES"  # a folder of pictures without labels
PLACEHOLDERS = (IMAGES, PICTURES)


@dataclass(frozen=True)
class Step:
    """A command for a shell, and why it is worth typing.

    Attributes:
        note: the effect of the command, where its words do not say it.
    """

    command: str
    reason: str
    note: str = ""

    @property
    def noted(self) -> str:
        """The command with its note, as screens print it."""
        return f"{self.command}     ({self.note})" if self.note else self.command


@dataclass(frozen=True, kw_only=True)
class Advice:
    """The steps that a folder's state suggests, the one to do now first.

    Attributes:
        state: in a sentence.
        fill_in: words in the commands that stand for what only the user knows.
    """

    path: str
    kind: Kind
    state: str
    steps: tuple[Step, ...]
    fill_in: tuple[str, ...]


def advice(path: str, kind: Kind, state: str, *steps: Step) -> Advice:
    """The advice, with the placeholders of its commands."""
    words = {word for step in steps for word in step.command.split()}
    fill_in = tuple(word for word in PLACEHOLDERS if word in words)
    return Advice(path=path, kind=kind, state=one_line(state), steps=steps, fill_in=fill_in)


def next_lines(steps: tuple[Step, ...] | list[Step]) -> list[str]:
    """The commands as the last lines of a screen."""
    return [("next:  " if i == 0 else "       ") + step.noted for i, step in enumerate(steps)]

"""Advice: the state of a folder, and steps with their reasons and commands."""

import shlex
from dataclasses import dataclass
from typing import Literal

from search_spaces.settings.sentences import one_line

Kind = Literal["search", "training", "comparison", "images", "nothing"]

# Words in commands that only the user knows.
IMAGES = "IMAGES"  # labelled images
PICTURES = "PICTURES"  # a folder of pictures without labels
REPOSITORY = "USER/NAME"  # on the Hugging Face Hub
LICENSE = "LICENSE"  # of weights
PLACEHOLDERS = (IMAGES, PICTURES, REPOSITORY, LICENSE)


@dataclass(frozen=True)
class Step:
    """A command for a shell, and why it is worth typing.

    Attributes:
        note: the effect of the command, where its words do not say it.
        watches: it only shows what another process does, and is not to be waited for.
    """

    command: str
    reason: str
    note: str = ""
    watches: bool = False

    @property
    def noted(self) -> str:
        """The command with its note, as screens print it."""
        return f"{self.command}     ({self.note})" if self.note else self.command


@dataclass(frozen=True, kw_only=True)
class Advice:
    """The steps that a folder's state suggests, the one to do now first.

    Attributes:
        state: in a sentence.
        notes: remarks about the results, with a command that looks into each; no step waits for them.
        fill_in: words in the commands that stand for what only the user knows.
    """

    path: str
    kind: Kind
    state: str
    steps: tuple[Step, ...]
    notes: tuple[Step, ...]
    fill_in: tuple[str, ...]


def advice(path: str, kind: Kind, state: str, *steps: Step, notes: tuple[Step, ...] = ()) -> Advice:
    """The advice, with the placeholders of its commands."""
    words = {word for step in (*steps, *notes) for word in shlex.split(step.command)}
    values = {word.partition("=")[2] or word for word in words}  # of key=value, the value
    fill_in = tuple(word for word in PLACEHOLDERS if word in values)
    return Advice(path=path, kind=kind, state=one_line(state), steps=steps, notes=notes, fill_in=fill_in)


def next_lines(steps: tuple[Step, ...] | list[Step]) -> list[str]:
    """The commands as the last lines of a screen."""
    return [("next:  " if i == 0 else "       ") + step.noted for i, step in enumerate(steps)]

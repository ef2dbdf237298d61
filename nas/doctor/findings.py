"""What nas doctor finds, one fact each."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["fine", "note", "hinders"]


@dataclass(frozen=True)
class Finding:
    """A fact; how it bears on searches; and what to do, where something can be done."""

    topic: str
    level: Level
    text: str
    advice: str = ""

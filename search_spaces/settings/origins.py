"""The origin of each part of a configuration: a file and its line, or an option as it was typed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from search_spaces.settings.parsing import Location
from search_spaces.settings.places import place_of


@dataclass(frozen=True)
class Origin:
    """The file, or the option of the command line, that holds a part of a configuration."""

    name: str  # of the file; of an option, all that was typed: --set budget.trials=10
    at: Location = ()  # the part of the whole that was written here
    lines: Mapping[Location, int] = field(default_factory=dict)  # of each place in the file
    named_in: Self | None = None  # where the file was named
    is_option: bool = False
    folder: Path = Path()  # names of further files are relative to it
    reading: tuple[Path, ...] = ()  # this file, and those that led to it

    def place(self, location: Location) -> str:
        """A location of the whole, as a path within this file or option."""
        return place_of(location[len(self.at) :])

    def line_of(self, location: Location) -> int | None:
        """The line of a location of the whole, or of the mapping or list around it; None if not known."""
        inner = location[len(self.at) :]
        known = (inner[:length] for length in range(len(inner), 0, -1) if inner[:length] in self.lines)
        return next((self.lines[place] for place in known), None)

    @property
    def led_here(self) -> tuple["Origin", ...]:
        """The origin that names this file, the one that names that one, and so on."""
        return () if self.named_in is None else (self.named_in, *self.named_in.led_here)

    def file(self, path: Path, written: str, at: Location) -> "Origin":
        """The file that is named here, at a location of the whole, in the words `written`."""
        return Origin(
            name=str(Path(written).parent / path.name),
            at=at,
            named_in=self,
            folder=path.parent,
            reading=(*self.reading, path),
        )

    def option(self, typed: str, at: Location) -> "Origin":
        """The option that replaces a part of this file; files that it names lie where it is typed."""
        return Origin(typed, at, is_option=True, reading=self.reading)


Origins = dict[Location, Origin]  # by the location where a file's or an option's content stands


def origin_of(origins: Origins, location: Location) -> Origin:
    """The file or option that holds a location."""
    return next(
        origins[location[:length]] for length in range(len(location), -1, -1) if location[:length] in origins
    )


def said_of(origin: Origin, location: Location, sentence: str, *, because_of: Sequence[str] = ()) -> str:
    """A complaint about a location: who holds it, the path in there, the sentence, the line, who named it.

    `because_of` are the options by which the file's content became wrong; what was typed comes first.
    """
    head = f"{' '.join(because_of)}, with {origin.name}" if because_of else origin.name
    parts = (head, origin.place(location), sentence)
    return ": ".join(part for part in parts if part) + _bracket(origin, location)


def _bracket(origin: Origin, location: Location) -> str:
    """The line, and the files and options that led here."""
    line = origin.line_of(location)
    found = [] if line is None else [f"line {line}"]
    # The chain of names from this file outwards
    named = []
    for outer, inner_origin in zip(origin.led_here, (origin, *origin.led_here), strict=False):
        place = outer.place(inner_origin.at)
        named.append(f"named in {outer.name}: {place}" if place else f"named in {outer.name}")
    if named:
        found.append(", which is ".join(named))
    return f" ({', '.join(found)})" if found else ""

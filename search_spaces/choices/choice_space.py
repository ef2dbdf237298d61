"""The search space as strategies see it: tuples of option indices, without any network."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Self

import numpy as np

from search_spaces.choices.rejection import MAX_REJECTIONS, first_accepted

Choices = tuple[int, ...]
Draw = Callable[[np.random.Generator], Choices]


class ChoiceSpace:
    """The search space as strategies see it: tuples with the index of the chosen option of each decision.

    Different tuples may stand for the same architecture, and some tuples may be beyond the limits.

    Args:
        num_options: the number of options of each decision; empty for a space of one architecture.
        canonical: maps choices to the one representative of all that build the same network; default: no two
            build the same.
        known: quantities that need no training, by name, as ratios to the reference network.
        is_allowed: true for choices within the limits on known quantities; default: all are.
        draw: draws uniformly from the distinct allowed choices; default: uniform tuples are drawn until one
            is canonical and allowed.
    """

    def __init__(
        self,
        num_options: Sequence[int],
        *,
        canonical: Callable[[Choices], Choices] | None = None,
        known: Callable[[Choices], dict[str, float]] | None = None,
        is_allowed: Callable[[Choices], bool] | None = None,
        draw: Draw | None = None,
    ) -> None:
        if any(count < 1 for count in num_options):
            raise ValueError(f"every decision needs an option; found {list(num_options)}")
        self.num_options: Choices = tuple(num_options)
        self._canonical = canonical
        self._known = known
        self._is_allowed = is_allowed
        self._draw = draw
        self._rows: tuple[Choices, ...] | None = None

    @classmethod
    def from_table(
        cls, rows: Iterable[Sequence[int]], *, known: Callable[[Choices], dict[str, float]] | None = None
    ) -> Self:
        """The space of exactly these choices, one for each row of the table."""
        table = tuple(dict.fromkeys(tuple(int(i) for i in row) for row in rows))
        if not table:
            raise ValueError("a table of choices needs at least one row")
        if len({len(row) for row in table}) > 1:
            raise ValueError("the rows of a table of choices must be of one length")
        members = frozenset(table)
        space = cls(
            [max(column) + 1 for column in zip(*table, strict=True)],
            known=known,
            is_allowed=members.__contains__,
        )
        space._rows = table
        return space

    @property
    def size(self) -> int:
        """The number of tuples, including those that build the same network as another one."""
        return len(self._rows) if self._rows is not None else math.prod(self.num_options)

    def contains(self, choices: Choices) -> bool:
        """True if these are valid indices of this space's options, within the limits or not."""
        return len(choices) == len(self.num_options) and all(
            isinstance(choice, int) and 0 <= choice < count
            for choice, count in zip(choices, self.num_options, strict=True)
        )

    def canonical(self, choices: Choices) -> Choices:
        """The one representative of all choices that build the same network as these."""
        return self._canonical(choices) if self._canonical else choices

    def known(self, choices: Choices) -> dict[str, float]:
        """Quantities that need no training, by name, as ratios to the reference network."""
        return self._known(choices) if self._known else {}

    def is_allowed(self, choices: Choices) -> bool:
        """True if these choices are within the limits on known quantities."""
        return self._is_allowed is None or self._is_allowed(choices)

    def sample(self, rng: np.random.Generator) -> Choices:
        """Draws uniformly from the distinct allowed choices.

        Raises:
            ValueError: no choices are allowed, or 10,000 draws found none.
        """
        if self._draw is not None:
            return self._draw(rng)
        if self._rows is not None:
            return self._rows[int(rng.integers(len(self._rows)))]
        found = first_accepted(
            lambda: tuple(int(i) for i in rng.integers(self.num_options)) if self.num_options else (),
            lambda choices: self.canonical(choices) == choices and self.is_allowed(choices),
        )
        if found is None:
            raise ValueError(
                f"{MAX_REJECTIONS:,} random architectures were all outside the limits; widen limits or space"
            )
        return found

    def neighbours(self, choices: Choices) -> list[Choices]:
        """All allowed choices that differ from these in one decision, in canonical form, each once."""
        found: dict[Choices, None] = {}
        for i, count in enumerate(self.num_options):
            for option in range(count):
                if option != choices[i]:
                    other = self.canonical((*choices[:i], option, *choices[i + 1 :]))
                    if self.is_allowed(other):
                        found[other] = None
        found.pop(self.canonical(choices), None)
        return list(found)

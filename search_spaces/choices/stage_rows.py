"""The distinct rows that one stage of a space may become, numbered without listing them."""

import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from search_spaces.choices.choice_space import Choices
from search_spaces.choices.stage_choices import DECIDED, StageChoices
from search_spaces.networks.architecture import Stage


class StageRows:
    """The rows of a StageChoices: one for each combination of options, and one for the absent stage.

    A row is given by `choices`: option indices of the fields with several options, in the order of DECIDED.
    All combinations with 0 layers are the same absent stage; the lexicographically first represents them.
    """

    def __init__(self, offered: StageChoices) -> None:
        self.offered = offered
        self.fields = tuple(name for name in DECIDED if len(offered.options(name)) > 1)
        self.num_options: Choices = tuple(len(offered.options(name)) for name in self.fields)
        self.can_vanish = 0 in offered.layers  # layers are then a decision, because 0 alone is refused
        self._layers_at = self.fields.index("layers") if self.can_vanish else -1
        self._zero = offered.layers.index(0) if self.can_vanish else -1
        self._present = tuple(  # the number of options of each field while the stage is present
            count - (i == self._layers_at) for i, count in enumerate(self.num_options)
        )
        self.count = math.prod(self._present) + self.can_vanish
        self.stage = lru_cache(maxsize=1 << 16)(self._stage)
        self.row = lru_cache(maxsize=1 << 16)(self._row)

    @property
    def absent(self) -> Choices:
        """The row that represents the absent stage; only if `can_vanish`."""
        return tuple(self._zero if i == self._layers_at else 0 for i in range(len(self.fields)))

    def _row(self, number: int) -> Choices:
        """The row with this number, 0 to `count` - 1; the absent stage is the last."""
        if self.can_vanish and number == self.count - 1:
            return self.absent
        indices = [int(i) for i in np.unravel_index(number, self._present)] if self._present else []
        # The numbering leaves the option of 0 layers out, so indices from there on move up by one.
        if self.can_vanish and indices[self._layers_at] >= self._zero:
            indices[self._layers_at] += 1
        return tuple(indices)

    def rows(self) -> Iterator[Choices]:
        """All rows in the order of their numbers."""
        return (self._row(number) for number in range(self.count))

    def canonical(self, choices: Choices) -> Choices:
        """The representative of these choices: the absent row where they have 0 layers, else themselves."""
        return self.absent if self.can_vanish and choices[self._layers_at] == self._zero else choices

    def _stage(self, choices: Choices) -> Stage:
        """The stage of these choices.

        Raises:
            ValueError: an index is out of the range of its options.
        """
        chosen = {name: self.offered.options(name)[0] for name in DECIDED}
        for name, choice in zip(self.fields, choices, strict=True):
            options = self.offered.options(name)
            if not 0 <= choice < len(options):
                raise ValueError(f"choice {choice} for {name}: options are 0 to {len(options) - 1}")
            chosen[name] = options[choice]
        return self.offered.stage(**chosen)

"""Uniform draws of choices within limits on parameters and MACs, even where only one in billions is."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from search_spaces.choices.choice_space import Choices
from search_spaces.choices.costs import SpaceCosts
from search_spaces.choices.rejection import first_accepted
from search_spaces.choices.stage_rows import StageRows
from search_spaces.networks.counting import Figures

BINS = {1: 8192, 2: 192}  # bins into which each limit's budget is divided, by the number of limits
MAX_LISTED = 20_000  # candidates that are listed and checked one by one instead of being drawn
MAX_ROWS = 100_000


@dataclass(frozen=True)
class _Rows:
    """A stage's R rows for one number of input channels, with their costs for D limits."""

    choices: list[Choices]
    bins: np.ndarray  # (R, D) int64, costs in bins, rounded down
    channels: np.ndarray  # (R,) output channels, as indices into those that the stage can have


class NothingWithinLimitsError(ValueError):
    """No architecture of a space is within its limits on parameters and MACs.

    Attributes:
        reason: the limits, each with the least that there is.
    """

    def __init__(self, costs: SpaceCosts) -> None:
        least = costs.least()
        alone = {name: most for name, most in costs.limits.items() if least[name] > most}
        parts = [
            f"{name} at most {most:,}, the fewest possible are {least[name]:,}"
            for name, most in (alone or costs.limits).items()
        ]
        self.reason = "; ".join(parts)
        super().__init__(
            f"limits: no architecture of the space is within them{'' if alone else ' at the same time'} "
            f"({self.reason}; with {costs.num_classes:,} classes at {costs.resolution} px); raise them or "
            "offer smaller options"
        )


class ChoicesWithinLimits:
    """Draws uniformly from the choices within limits, after counting them by dynamic programming.

    1. Each limit's budget is divided into bins, and the cost of every stage's row is rounded down to bins.
    2. From the last stage to the first, `_count_ways` counts for every number of input channels and every
       budget that is left in how many ways the stages from there on can be chosen.
    3. A draw goes from the first stage to the last and takes each row with a probability proportional to the
       number of completions after it. All complete choices are then equally likely.
    4. Because costs were rounded down, some draws are slightly beyond a limit; these are drawn again. Where
       few choices were counted at all, they are listed and checked once instead.
    """

    def __init__(self, rows: Sequence[StageRows], costs: SpaceCosts) -> None:
        total = sum(stage.count for stage in rows)
        if total > MAX_ROWS:
            raise ValueError(
                f"limits: the stages have {total:,} rows; architectures within limits can be found among up "
                f"to {MAX_ROWS:,}; offer fewer options or raise the limits"
            )
        self._rows = rows
        self._costs = costs
        self._names = tuple(costs.limits)
        self._bins = BINS[len(self._names)]
        self._budget = np.full(len(self._names), self._bins)
        self._reached, self._table = self._tabulate()
        self._ways = self._count_ways()
        counted = float(self._ways[0][(0, *self._budget)])
        self._listed = self._list() if counted <= MAX_LISTED else None
        if self._listed == []:
            raise NothingWithinLimitsError(costs)

    def draw(self, rng: np.random.Generator) -> Choices:
        """Draws uniformly from the choices within the limits, duplicates included.

        Raises:
            NothingWithinLimitsError: no choices within the limits were found.
        """
        if self._listed is not None:
            return self._listed[int(rng.integers(len(self._listed)))]
        found = first_accepted(lambda: self._candidate(rng), self._costs.within_limits)
        if found is None:
            raise NothingWithinLimitsError(self._costs)
        return found

    def _candidate(self, rng: np.random.Generator) -> Choices:
        """Draws uniformly from the counted choices, stage by stage."""
        chosen: Choices = ()
        place, left = 0, self._budget
        for index in range(len(self._rows)):
            rows = self._table[index][place]
            cumulated = np.cumsum(self._completions(index, place, left))
            # Inverse transform sampling: the first row whose cumulated count exceeds the drawn number.
            row = int(np.searchsorted(cumulated, rng.random() * cumulated[-1], side="right"))
            chosen += rows.choices[row]
            place, left = int(rows.channels[row]), left - rows.bins[row]
        return chosen

    def _completions(self, index: int, place: int, left: np.ndarray) -> np.ndarray:
        """(R,) number of ways to complete each row of a stage, with a budget of `left` bins before it."""
        rows = self._table[index][place]
        after = left - rows.bins  # (R, D)
        ways = self._ways[index + 1][(rows.channels, *np.maximum(after, 0).T)]
        return np.where((after >= 0).all(axis=1), ways, 0.0)

    def _list(self) -> list[Choices]:
        """All choices within the limits, by depth-first search along rows that have completions."""
        found = []
        stack: list[tuple[Choices, int, int, np.ndarray]] = [((), 0, 0, self._budget)]
        while stack:
            chosen, index, place, left = stack.pop()
            if index == len(self._rows):
                if self._costs.within_limits(chosen):
                    found.append(chosen)
                continue
            rows = self._table[index][place]
            for i in np.flatnonzero(self._completions(index, place, left)):
                stack.append(
                    (chosen + rows.choices[i], index + 1, int(rows.channels[i]), left - rows.bins[i])
                )
        return found

    # ------------------------------------------------------------------ counting

    def _tabulate(self) -> tuple[list[list[int]], list[list[_Rows]]]:
        """The rows of every stage for every number of input channels that it can have.

        Returns:
            For each stage, and once more for the head, the possible input channels, ascending; and for each
            stage and each of these, its rows.
        """
        reached = [[self._costs.space.stem_channels]]
        table = []
        for index, stage in enumerate(self._rows):
            costs = [
                [(row, *self._costs.stage(index, row, channels)) for row in stage.rows()]
                for channels in reached[-1]
            ]
            out_channels = sorted({channels for rows in costs for _, _, channels in rows})
            table.append(
                [
                    _Rows(
                        [row for row, _, _ in rows],
                        np.array([self._rounded_down(figures) for _, figures, _ in rows]),
                        np.array([out_channels.index(channels) for _, _, channels in rows]),
                    )
                    for rows in costs
                ]
            )
            reached.append(out_channels)
        return reached, table

    def _rounded_down(self, figures: Figures) -> tuple[int, ...]:
        """Costs in bins, one for each limit."""
        limits = self._costs.limits
        # Cut off just above the budget: what does not fit does not fit, whatever the excess.
        return tuple(
            min(getattr(figures, name) * self._bins // limits[name], self._bins + 1) for name in self._names
        )

    def _count_ways(self) -> list[np.ndarray]:
        """The number of ways to choose all stages from each one on.

        Returns:
            For each stage, and once more for the head, an array over (input channels, budget left in bins for
            each limit).
        """
        shape = (self._bins + 1,) * len(self._names)
        # After the last stage there is one way to go on, if the budget suffices for head and classifier.
        ends = [self._rounded_down(self._costs.ends(channels)) for channels in self._reached[-1]]
        ways = [np.stack([_shifted(np.ones(shape), end) for end in ends])]
        # Before a stage: the sum over its rows of the ways after it, with the row's cost off the budget.
        for tables in reversed(self._table):
            before = np.zeros((len(tables), *shape))
            for total, rows in zip(before, tables, strict=True):
                for bins, place in zip(rows.bins.tolist(), rows.channels.tolist(), strict=True):
                    total += _shifted(ways[-1][place], bins)
            ways.append(before)
        return ways[::-1]


def _shifted(ways: np.ndarray, cost: Sequence[int]) -> np.ndarray:
    """`ways` by the budget before `cost` is paid from it; 0 where the budget is below the cost."""
    shifted = np.zeros_like(ways)
    if all(c < size for c, size in zip(cost, ways.shape, strict=True)):
        into = tuple(slice(c, None) for c in cost)
        taken = tuple(slice(None, size - c) for c, size in zip(cost, ways.shape, strict=True))
        shifted[into] = ways[taken]
    return shifted

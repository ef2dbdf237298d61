"""Uniform draws of choices within limits on parameters and MACs, also where one in billions is."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from search_spaces.choices.choice_space import Choices
from search_spaces.choices.costs import SpaceCosts
from search_spaces.choices.rejection import first_accepted
from search_spaces.choices.stage_rows import StageRows
from search_spaces.networks.counting import Figures

BINS = {1: 8192, 2: 192}  # of each limit's budget, by the number of limits
LISTED = 20_000  # so many candidates are looked at one by one
MAX_ROWS = 100_000


@dataclass(frozen=True)
class _Rows:
    """A stage's R rows behind certain channels, with costs in bins, rounded down, for D limits."""

    choices: list[Choices]
    bins: np.ndarray  # (R, D) int64
    channels: np.ndarray  # (R,) places of the channels behind among those that are reached there


class ChoicesWithinLimits:
    """Counts, by dynamic programming, the ways of completing choices within a budget; draws by these counts.

    Costs are counted in bins, rounded down: every architecture within the limits is among those counted, and
    a few beyond them are, which are drawn again. Where few are counted they are listed and checked instead.
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
        self._listed = self._list() if counted <= LISTED else None
        if self._listed == []:
            raise ValueError(nothing_fits(costs))

    def draw(self, rng: np.random.Generator) -> Choices:
        """Uniform over the choices within the limits, equal ones counted each.

        Raises:
            ValueError: none was found.
        """
        if self._listed is not None:
            return self._listed[int(rng.integers(len(self._listed)))]
        found = first_accepted(lambda: self._candidate(rng), self._costs.within_limits)
        if found is None:
            raise ValueError(nothing_fits(self._costs))
        return found

    def _candidate(self, rng: np.random.Generator) -> Choices:
        chosen: Choices = ()
        place, left = 0, self._budget
        for index in range(len(self._rows)):
            rows = self._table[index][place]
            cumulated = np.cumsum(self._ways_on(index, place, left))
            row = int(np.searchsorted(cumulated, rng.random() * cumulated[-1], side="right"))
            chosen += rows.choices[row]
            place, left = int(rows.channels[row]), left - rows.bins[row]
        return chosen

    def _ways_on(self, index: int, place: int, left: np.ndarray) -> np.ndarray:
        """(R,) ways of completing each of a stage's rows with that budget left."""
        rows = self._table[index][place]
        after = left - rows.bins  # (R, D)
        ways = self._ways[index + 1][(rows.channels, *np.maximum(after, 0).T)]
        return np.where((after >= 0).all(axis=1), ways, 0.0)

    def _list(self) -> list[Choices]:
        """All choices within the limits, by walking the ways that were counted."""
        found = []
        stack: list[tuple[Choices, int, int, np.ndarray]] = [((), 0, 0, self._budget)]
        while stack:
            chosen, index, place, left = stack.pop()
            if index == len(self._rows):
                if self._costs.within_limits(chosen):
                    found.append(chosen)
                continue
            rows = self._table[index][place]
            for i in np.flatnonzero(self._ways_on(index, place, left)):
                stack.append(
                    (chosen + rows.choices[i], index + 1, int(rows.channels[i]), left - rows.bins[i])
                )
        return found

    # ------------------------------------------------------------------ counting

    def _tabulate(self) -> tuple[list[list[int]], list[list[_Rows]]]:
        """Before each stage (and behind the last) the channels that are reached; the rows behind each."""
        reached = [[self._costs.space.stem_channels]]
        table = []
        for index, stage in enumerate(self._rows):
            costs = [
                [(row, *self._costs.stage(index, row, channels)) for row in stage.rows()]
                for channels in reached[-1]
            ]
            behind = sorted({channels for rows in costs for _, _, channels in rows})
            table.append(
                [
                    _Rows(
                        [row for row, _, _ in rows],
                        np.array([self._rounded_down(figures) for _, figures, _ in rows]),
                        np.array([behind.index(channels) for _, _, channels in rows]),
                    )
                    for rows in costs
                ]
            )
            reached.append(behind)
        return reached, table

    def _rounded_down(self, figures: Figures) -> tuple[int, ...]:
        limits = self._costs.limits
        # Beyond the budget it does not matter by how much.
        return tuple(
            min(getattr(figures, name) * self._bins // limits[name], self._bins + 1) for name in self._names
        )

    def _count_ways(self) -> list[np.ndarray]:
        """For each stage, by place of the channels before it and budget left in bins: ways to complete."""
        shape = (self._bins + 1,) * len(self._names)
        ends = [self._rounded_down(self._costs.ends(channels)) for channels in self._reached[-1]]
        ways = [np.stack([_shifted(np.ones(shape), end) for end in ends])]
        for tables in reversed(self._table):
            before = np.zeros((len(tables), *shape))
            for total, rows in zip(before, tables, strict=True):
                for bins, place in zip(rows.bins.tolist(), rows.channels.tolist(), strict=True):
                    total += _shifted(ways[-1][place], bins)
            ways.append(before)
        return ways[::-1]


def nothing_fits(costs: SpaceCosts) -> str:
    """What is said of limits that no architecture of the space is within."""
    least = costs.least()
    alone = {name: most for name, most in costs.limits.items() if least[name] > most}
    parts = [
        f"{name} at most {most:,}, the fewest possible are {least[name]:,}"
        for name, most in (alone or costs.limits).items()
    ]
    return (
        f"limits: no architecture of the space is within them{'' if alone else ' at the same time'} "
        f"({'; '.join(parts)}; with {costs.num_classes:,} classes at {costs.resolution} px); raise them or "
        "offer smaller options"
    )


def _shifted(ways: np.ndarray, cost: Sequence[int]) -> np.ndarray:
    """`ways` as a function of a budget from which `cost` is taken first; 0 where the budget is too small."""
    shifted = np.zeros_like(ways)
    if all(c < size for c, size in zip(cost, ways.shape, strict=True)):
        into = tuple(slice(c, None) for c in cost)
        taken = tuple(slice(None, size - c) for c, size in zip(cost, ways.shape, strict=True))
        shifted[into] = ways[taken]
    return shifted

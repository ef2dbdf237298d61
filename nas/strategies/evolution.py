"""Regularized evolution (Real et al. 2019, arXiv 1802.01548): tournaments, mutation, ageing."""

from collections import deque
from typing import ClassVar

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from nas.strategies.strategy import SETTINGS, AvoidsAsked
from search_spaces.choices.choice_space import Choices, ChoiceSpace
from trials.trial import MAX_TRIALS, Ask, Outcome

NEIGHBOUR_DRAWS = 3  # tournaments for a parent with an unseen neighbour before a seen one is accepted


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class EvolutionSettings:
    """Sizes of the population and of its tournaments.

    The defaults suit hundreds of trials (the paper has 100 and 25, for 20,000): on a table of 6,561 real
    networks and on made-up spaces of 30 decisions they were the best of six pairs, or not measurably worse
    (42 seeds; 50, 100, 200 and 500 trials; 1 and 16 in flight).

    Attributes:
        population: number of trials that live, the last ones told; until as many have been told, asks are
            uniform.
        tournament: number of them that are drawn; the best of these by reward becomes the parent.
    """

    population: int = Field(default=20, ge=1, le=MAX_TRIALS)
    tournament: int = Field(default=10, ge=1)

    def __post_init__(self) -> None:
        if self.tournament > self.population:
            raise ValueError(
                f"tournament is {self.tournament}, but the population is only {self.population}; lower "
                "tournament, or raise population"
            )


class Evolution(AvoidsAsked):
    """The best of a random tournament is mutated in one decision; the oldest dies.

    Differs from the paper: it is asynchronous (ageing goes by the order of tells), a mutation is a uniform
    draw among the neighbours, and architectures that were asked before are avoided while a parent has others.
    """

    Settings: ClassVar[type[EvolutionSettings]] = EvolutionSettings

    def __init__(self, space: ChoiceSpace, seed: int, *, epochs: int, settings: EvolutionSettings) -> None:
        self._space, self._seed, self._epochs, self._settings = space, seed, epochs, settings
        # Members are (reward, trial, choices), the oldest first.
        self._living: deque[tuple[float, int, Choices]] = deque(maxlen=settings.population)
        self._seen: set[Choices] = set()

    def ask(self, trial_id: int) -> Ask:
        """A neighbour of a tournament's winner, or a uniform draw while the population grows."""
        rng = np.random.default_rng([self._seed, trial_id])
        # The first population is uniform.
        if len(self._living) < self._settings.population:
            return Ask(trial_id=trial_id, choices=self._space.sample(rng), epochs=self._epochs)
        child: Choices | None = None
        parent = -1
        for _ in range(NEIGHBOUR_DRAWS):
            # Tournament: the best of a random sample wins; of equal rewards the younger.
            drawn = rng.choice(len(self._living), size=self._settings.tournament, replace=False)
            _, winner, choices = max((self._living[i] for i in drawn), key=lambda member: member[:2])
            # Mutation: a uniform draw among the neighbours that nobody has asked for.
            neighbours = self._space.neighbours(choices)
            unseen = [neighbour for neighbour in neighbours if neighbour not in self._seen]
            if unseen:
                child, parent = unseen[rng.integers(len(unseen))], winner
                break
            # All were asked for: one of the first parent's, unless the next tournament finds a new one.
            if neighbours and child is None:
                child, parent = neighbours[rng.integers(len(neighbours))], winner
        if child is None:  # no parent had a neighbour
            return Ask(trial_id=trial_id, choices=self._space.sample(rng), epochs=self._epochs)
        return Ask(trial_id=trial_id, choices=child, epochs=self._epochs, aux={"parent": parent})

    def told(self, ask: Ask, outcome: Outcome) -> None:
        """Adds the trial to the population; the oldest member of a full one dies."""
        if outcome.status != "cached":  # its equal is a member already, or has died of age
            self._living.append((outcome.reward, ask.trial_id, ask.choices))

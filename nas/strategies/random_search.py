"""Random search, uniform over the architectures of the space; the EfficientNetV2 paper also used it."""

from typing import ClassVar

import numpy as np
from pydantic.dataclasses import dataclass

from nas.strategies.strategy import SETTINGS
from search_spaces.choices.choice_space import ChoiceSpace
from trials.trial import Ask, Outcome


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class RandomSearchSettings:
    """No settings."""


class RandomSearch:
    """Uniform over distinct architectures within the limits; learns nothing."""

    Settings: ClassVar[type[RandomSearchSettings]] = RandomSearchSettings

    def __init__(self, space: ChoiceSpace, seed: int, *, epochs: int, settings: RandomSearchSettings) -> None:
        self._space, self._seed, self._epochs = space, seed, epochs

    def ask(self, trial_id: int) -> Ask:
        """A uniform draw."""
        choices = self._space.sample(np.random.default_rng([self._seed, trial_id]))
        return Ask(trial_id=trial_id, choices=choices, epochs=self._epochs)

    def asked(self, ask: Ask) -> None:
        """Remembers nothing."""

    def told(self, ask: Ask, outcome: Outcome) -> None:
        """Learns nothing."""

    def withdrawn(self, ask: Ask) -> None:
        """Forgets nothing."""

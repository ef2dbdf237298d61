"""The tree-structured Parzen estimator (Bergstra et al. 2011): Optuna's sampler, rebuilt from the log."""

from typing import ClassVar

import optuna
from pydantic import Field
from pydantic.dataclasses import dataclass

from nas.strategies.optuna.optuna_strategy import OptunaStrategy
from nas.strategies.strategy import SETTINGS
from search_spaces.choices.choice_space import ChoiceSpace
from trials.trial import MAX_TRIALS

MAX_CANDIDATES = 1_000_000  # their probabilities are in memory at once


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class TpeSettings:
    """Settings of Optuna's sampler.

    Attributes:
        startup: number of told trials from which on it models; until then asks are uniform over tuples of
            choices, of which some may be equal.
        candidates: number of draws, of which the one with the best ratio is proposed.
        multivariate: whether decisions are modelled together, not each on its own.
    """

    startup: int = Field(default=10, ge=1, le=MAX_TRIALS)
    candidates: int = Field(default=24, ge=1, le=MAX_CANDIDATES)
    multivariate: bool = True


class Tpe(OptunaStrategy):
    """Models the choices of good and of other trials, and proposes where their ratio is the highest."""

    Settings: ClassVar[type[TpeSettings]] = TpeSettings

    def __init__(self, space: ChoiceSpace, seed: int, *, epochs: int, settings: TpeSettings) -> None:
        def make_sampler(seed: int) -> optuna.samplers.TPESampler:
            # Named one by one: Optuna 5 changed defaults. Those left out are deprecated.
            return optuna.samplers.TPESampler(
                n_startup_trials=settings.startup,
                n_ei_candidates=settings.candidates,
                seed=seed,
                multivariate=settings.multivariate,
                group=False,
                constant_liar=True,
            )

        super().__init__(
            space,
            seed,
            epochs=epochs,
            make_sampler=make_sampler,
            directions=["maximize"],
            values=lambda outcome: (outcome.reward,),
            foreign={},
        )

"""NSGA-II (Deb et al. 2002) for the front of accuracy, step time and parameters: Optuna's sampler."""

from typing import ClassVar

import optuna
from pydantic import Field
from pydantic.dataclasses import dataclass

from nas.strategies.optuna.optuna_strategy import OptunaStrategy
from nas.strategies.strategy import SETTINGS
from search_spaces.choices.choice_space import ChoiceSpace
from trials.trial import MAX_TRIALS

GENERATION = "NSGAIISampler:generation"  # Optuna's attribute of a trial


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class Nsga2Settings:
    """Settings of Optuna's sampler.

    Attributes:
        population: number of trials of a generation.
        crossover_prob: probability that a child has two parents.
        swapping_prob: probability that a decision of it is the other parent's.
        mutation_prob: probability that a decision is drawn anew; None: one decision of a child on average.
    """

    population: int = Field(default=50, ge=2, le=MAX_TRIALS)
    crossover_prob: float = Field(default=0.9, ge=0, le=1)
    swapping_prob: float = Field(default=0.5, ge=0, le=1)
    mutation_prob: float | None = Field(default=None, ge=0, le=1)


class Nsga2(OptunaStrategy):
    """Generations whose parents are not dominated, or crowd the front the least; the reward is ignored.

    Trials that it did not propose (the baseline, an earlier run) belong to its first generation.
    """

    Settings: ClassVar[type[Nsga2Settings]] = Nsga2Settings

    def __init__(self, space: ChoiceSpace, seed: int, *, epochs: int, settings: Nsga2Settings) -> None:
        def make_sampler(seed: int) -> optuna.samplers.NSGAIISampler:
            # Named one by one: defaults have changed between versions. Those left out are deprecated or
            # experimental.
            return optuna.samplers.NSGAIISampler(
                population_size=settings.population,
                mutation_prob=settings.mutation_prob,
                crossover=optuna.samplers.nsgaii.UniformCrossover(settings.swapping_prob),
                crossover_prob=settings.crossover_prob,
                swapping_prob=settings.swapping_prob,
                seed=seed,
            )

        super().__init__(
            space,
            seed,
            epochs=epochs,
            make_sampler=make_sampler,
            directions=["maximize", "minimize", "minimize"],
            values=lambda outcome: (outcome.accuracy, outcome.step_time_ratio, outcome.params),
            foreign={GENERATION: 0},
        )

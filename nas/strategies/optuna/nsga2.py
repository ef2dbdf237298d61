"""NSGA-II (Deb et al. 2002) by Optuna: the front of accuracy, step time and parameters, not one reward."""

import optuna

from nas.strategies.optuna.optuna_study import OptunaStudy
from search_spaces.choices.choice_space import ChoiceSpace
from trials.trial import Ask, Outcome

GENERATION = "NSGAIISampler:generation"  # Optuna's attribute of a trial


class Nsga2:
    """Generations whose parents are not dominated, or crowd the front the least; the reward is not looked at.

    Trials that it did not propose (the baseline, an earlier run) belong to its first generation.

    Args:
        population: trials of a generation.
        crossover_prob: with which a child has two parents.
        swapping_prob: with which each of its decisions is the other parent's.
        mutation_prob: with which a decision is drawn anew; by default once in a child.
    """

    def __init__(
        self,
        space: ChoiceSpace,
        seed: int,
        *,
        epochs: int,
        population: int = 50,
        crossover_prob: float = 0.9,
        swapping_prob: float = 0.5,
        mutation_prob: float | None = None,
    ) -> None:
        if population < 2:
            raise ValueError(f"population: {population} given; at least 2 expected")
        given = {
            "crossover_prob": crossover_prob, "swapping_prob": swapping_prob, "mutation_prob": mutation_prob
        }  # fmt: skip
        for name, value in given.items():
            if value is not None and (isinstance(value, bool) or not 0 <= value <= 1):
                raise ValueError(f"{name}: {value!r} given; a probability from 0 to 1 expected")

        def make_sampler(seed: int) -> optuna.samplers.NSGAIISampler:
            # Named one by one: defaults have changed between versions. Those left out are deprecated or
            # experimental.
            return optuna.samplers.NSGAIISampler(
                population_size=population,
                mutation_prob=mutation_prob,
                crossover=optuna.samplers.nsgaii.UniformCrossover(swapping_prob),
                crossover_prob=crossover_prob,
                swapping_prob=swapping_prob,
                seed=seed,
            )

        self._epochs = epochs
        self._study = OptunaStudy(
            space,
            seed,
            make_sampler=make_sampler,
            directions=["maximize", "minimize", "minimize"],
            values=lambda outcome: (outcome.accuracy, outcome.step_time_ratio, outcome.params),
            foreign={GENERATION: 0},
        )

    def ask(self, trial_id: int) -> Ask:
        """The sampler's draw."""
        return self._study.ask(trial_id, epochs=self._epochs)

    def asked(self, ask: Ask) -> None:
        """The study has it as a running trial."""
        self._study.asked(ask)

    def told(self, ask: Ask, outcome: Outcome) -> None:
        """The study learns accuracy, step time and parameters."""
        self._study.told(ask, outcome)

    def withdrawn(self, ask: Ask) -> None:
        """The study knows it as failed, of which the sampler learns nothing."""
        self._study.withdrawn(ask)

"""What users would otherwise run, as strategies: Optuna's TPE, and regularized evolution as published."""

import warnings
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import optuna

from search_spaces.choices.choice_space import Choices, ChoiceSpace
from trials.trial import Ask, Outcome


class PlainEvolution:
    """Regularized evolution (Real et al. 2019, algorithm 1), told all outcomes alike, also cached ones.

    The first `population` are uniform; a tournament is drawn with replacement; one decision of its best turns
    to another option, both uniform; the oldest dies.
    """

    def __init__(self, space: ChoiceSpace, seed: int, *, population: int, tournament: int) -> None:
        self._space, self._seed, self._tournament = space, seed, tournament
        self._population = population
        self._living: deque[tuple[float, Choices]] = deque(maxlen=population)

    def ask(self, trial_id: int) -> Ask:
        rng = np.random.default_rng([self._seed, trial_id])
        if len(self._living) < self._population:
            return Ask(trial_id=trial_id, choices=self._space.sample(rng), epochs=1)
        drawn = rng.integers(len(self._living), size=self._tournament)
        _, parent = max((self._living[i] for i in drawn), key=lambda member: member[0])
        open_ = [i for i, count in enumerate(self._space.num_options) if count > 1]
        while True:
            place = open_[rng.integers(len(open_))]
            option = int(rng.integers(self._space.num_options[place] - 1))
            option += option >= parent[place]
            child = (*parent[:place], option, *parent[place + 1 :])
            if self._space.is_allowed(child):
                return Ask(trial_id=trial_id, choices=child, epochs=1)

    def asked(self, ask: Ask) -> None:
        pass

    def told(self, ask: Ask, outcome: Outcome) -> None:
        self._living.append((outcome.reward, ask.choices))

    def withdrawn(self, ask: Ask) -> None:
        pass


class OptunaPeer:
    """A sampler of Optuna over categorical choices, told `values` of each outcome.

    Repeats are told like any other trial: closed as failed instead, they leave TPE's model as it was, and it
    asks for nothing else.
    """

    def __init__(
        self,
        space: ChoiceSpace,
        sampler: optuna.samplers.BaseSampler,
        *,
        directions: list[str],
        values: Callable[[Outcome], Sequence[float]],
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._study = optuna.create_study(directions=directions, sampler=sampler)
        self._values = values
        self._distributions: dict[str, Any] = {
            str(i): optuna.distributions.CategoricalDistribution(range(count))
            for i, count in enumerate(space.num_options)
        }
        self._open: dict[int, optuna.Trial] = {}

    def ask(self, trial_id: int) -> Ask:
        trial = self._study.ask(self._distributions)
        self._open[trial_id] = trial
        choices = tuple(int(trial.params[name]) for name in self._distributions)
        return Ask(trial_id=trial_id, choices=choices, epochs=1)

    def asked(self, ask: Ask) -> None:
        if ask.trial_id not in self._open:  # the loop's own uniform draw, as of a queue
            self._study.enqueue_trial({str(i): choice for i, choice in enumerate(ask.choices)})
            self.ask(ask.trial_id)

    def told(self, ask: Ask, outcome: Outcome) -> None:
        self._study.tell(self._open.pop(ask.trial_id), self._values(outcome))

    def withdrawn(self, ask: Ask) -> None:
        self._study.tell(self._open.pop(ask.trial_id), state=optuna.trial.TrialState.FAIL)


def optuna_tpe(space: ChoiceSpace, seed: int, *, multivariate: bool, workers: int) -> OptunaPeer:
    """Its arguments but these the defaults; several workers: with `constant_liar`, as is advised for them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.TPESampler(seed=seed, multivariate=multivariate, constant_liar=workers > 1)
    return OptunaPeer(space, sampler, directions=["maximize"], values=lambda outcome: [outcome.reward])


def optuna_nsga2(space: ChoiceSpace, seed: int) -> OptunaPeer:
    """Its arguments the defaults, on accuracy, step time and parameters."""
    return OptunaPeer(
        space,
        optuna.samplers.NSGAIISampler(seed=seed),
        directions=["maximize", "minimize", "minimize"],
        values=lambda outcome: [outcome.accuracy, outcome.step_time_ratio, outcome.params],
    )


def build_peer(name: str, space: ChoiceSpace, seed: int, *, workers: int) -> PlainEvolution | OptunaPeer:
    """A peer by name (PEERS lists them)."""
    if name in TPES:
        return optuna_tpe(space, seed, multivariate="multivariate" in name, workers=workers)
    population, tournament = EVOLUTIONS[name]
    return PlainEvolution(space, seed, population=population, tournament=tournament)


EVOLUTIONS = {"plain_evolution_50_10": (50, 10), "plain_evolution_20_5": (20, 5)}  # population, tournament
TPES = ("optuna_tpe_multivariate", "optuna_tpe")
PEERS = (*EVOLUTIONS, *TPES)

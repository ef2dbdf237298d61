"""What users would otherwise run, as strategies: Optuna's TPE, and regularized evolution as published."""

import warnings
from collections import deque
from typing import Any

import numpy as np
import optuna

from search_spaces.choice_space import Choices, ChoiceSpace
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


class OptunaTpe:
    """Optuna's TPESampler over categorical choices; all arguments but these two are its defaults.

    Several workers: with `constant_liar`, as its documentation advises for them. Repeats are told like any
    other trial: closed as failed instead, they leave the model as it was, and it asks for nothing else.
    """

    def __init__(self, space: ChoiceSpace, seed: int, *, multivariate: bool, workers: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = optuna.samplers.TPESampler(
                seed=seed, multivariate=multivariate, constant_liar=workers > 1
            )
        self._study = optuna.create_study(direction="maximize", sampler=sampler)
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
        self._study.tell(self._open.pop(ask.trial_id), outcome.reward)

    def withdrawn(self, ask: Ask) -> None:
        self._study.tell(self._open.pop(ask.trial_id), state=optuna.trial.TrialState.FAIL)


class OptunaNsga2:
    """Optuna's NSGAIISampler, its arguments the defaults, on accuracy, step time and parameters."""

    def __init__(self, space: ChoiceSpace, seed: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        sampler = optuna.samplers.NSGAIISampler(seed=seed)
        self._study = optuna.create_study(directions=["maximize", "minimize", "minimize"], sampler=sampler)
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
        values = [outcome.accuracy, outcome.step_time_ratio, outcome.params]
        self._study.tell(self._open.pop(ask.trial_id), values)

    def withdrawn(self, ask: Ask) -> None:
        self._study.tell(self._open.pop(ask.trial_id), state=optuna.trial.TrialState.FAIL)


def build_peer(name: str, space: ChoiceSpace, seed: int, *, workers: int) -> PlainEvolution | OptunaTpe:
    """A peer by name (PEERS lists them)."""
    if name in TPES:
        return OptunaTpe(space, seed, multivariate="multivariate" in name, workers=workers)
    population, tournament = EVOLUTIONS[name]
    return PlainEvolution(space, seed, population=population, tournament=tournament)


EVOLUTIONS = {"plain_evolution_50_10": (50, 10), "plain_evolution_20_5": (20, 5)}  # population, tournament
TPES = ("optuna_tpe_multivariate", "optuna_tpe")
PEERS = (*EVOLUTIONS, *TPES)

"""Importance of each decision of a search by PED-ANOVA, as Optuna computes it."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import create_trial

from nas.results.optuna_export import decision_distributions
from search_spaces.choices.space import SearchSpace

MOST_TRIALS = 1_000  # that are looked at, drawn of more: a second, where all of 10,000 take eight
FEWEST_TRIALS = 50  # five of them in the best tenth, as Optuna's documentation advises
SEED = 0


@dataclass(frozen=True)
class Importance:
    """The importance of one decision: its share of all decisions' together, 0-1."""

    stage: int  # from 1
    field: str
    share: float


@dataclass(frozen=True)
class Importances:
    """Importances of all decisions, the largest first, and the number of trials that they come from."""

    decisions: tuple[Importance, ...]
    trials: int


def decision_importances(
    choices: Sequence[Sequence[int]], rewards: np.ndarray, space: SearchSpace
) -> Importances | None:
    """Importance of each decision: how far the best tenth of trials choose otherwise than all.

    PED-ANOVA (S. Watanabe, A. Bansal, F. Hutter, 2023): the Pearson divergence of an option's frequencies in
    the best tenth from those in all trials, so that what a strategy prefers anyway counts as no effect.
    Interactions of decisions are in none of it. Of more than MOST_TRIALS trials, so many are drawn, always
    the same. None of fewer than FEWEST_TRIALS, or where no decision tells the best from the others.

    Args:
        choices: (n, decisions) options of each trial, as rows have them.
        rewards: (n) of each; NaN is left out.
    """
    known = np.flatnonzero(np.isfinite(rewards))
    if len(known) < FEWEST_TRIALS or not space.decisions:
        return None
    if len(known) > MOST_TRIALS:
        known = np.sort(np.random.default_rng(SEED).choice(known, MOST_TRIALS, replace=False))
    distributions = decision_distributions(space)
    if np.ptp(rewards[known]) == 0:
        return None
    # Ranks instead of rewards, ties in a random order that is always the same: Optuna takes all that reach
    # the best tenth's lowest reward, which may be most trials where many have the same.
    order = np.lexsort((np.random.default_rng(SEED).random(len(known)), rewards[known]))
    ranks = np.empty(len(known))
    ranks[order] = np.arange(len(known))
    trials = [
        create_trial(
            value=float(rank),
            params={
                name: distribution.choices[choice]
                for (name, distribution), choice in zip(distributions.items(), choices[i], strict=True)
            },
            distributions=dict(distributions),
        )
        for i, rank in zip(known.tolist(), ranks, strict=True)
    ]
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is experimental, and of few trials
            study = optuna.create_study(direction="maximize")
            study.add_trials(trials)
            found = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator(), normalize=True)
    finally:
        optuna.logging.set_verbosity(verbosity)
    if len(set(found.values())) < 2:  # Optuna's answer where nothing is important
        return None
    decisions = dict(zip(distributions, space.decisions, strict=True))
    shares = (Importance(decisions[name].stage + 1, decisions[name].field, found[name]) for name in decisions)
    return Importances(tuple(sorted(shares, key=lambda each: -each.share)), len(known))

"""An earlier run as outcomes for simulated searches: models fitted to its rows, over the run's own space."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from analysis.choice_model import ChoiceModel, accuracy_logit, fit_choice_model, spread_out
from analysis.rank_correlation import kendall_tau
from analysis.trial_rules import is_counted
from nas.search.best_file import classes_of
from nas.search.config import SearchConfig
from nas.search.recorded_config import recorded_config
from nas.simulation.simulate import KnownOutcomes
from search_spaces.choices.choice_space import Choices, ChoiceSpace
from search_spaces.networks.counting import Counts, count
from search_spaces.settings.config_error import ConfigError
from trials.log.row_types import TrialRow, measured, measured_objective
from trials.log.rows import device_seconds
from trials.log.run_reader import read_run
from trials.measurement import INFERENCE
from trials.objective import curve_of
from trials.reward import REWARDABLE, SHIPPED, Reward, recorded_ratio, recorded_reward
from trials.trial import Outcome

FEWEST_ROWS = 12
DERIVE_NOISE = 3  # keeps the noise of a training apart from other randomness of the same trial


@dataclass(frozen=True)
class ModelledRun:
    """The outcomes that a run's models expect, and how well these rank the run's own trials.

    `tau` is Kendall's tau between what was measured and what a model fitted to all other trials expects: of
    the reward, and of what it is made of.
    """

    known: KnownOutcomes
    config: SearchConfig
    reward: Reward
    rows: int
    counted: int  # search and baseline trials of the run, as its budget counts them
    tau: dict[str, float]
    noise: float  # standard deviation of one training's accuracy


def modelled_run(run: Path, *, terms: dict[str, float] | None = None) -> ModelledRun:
    """Models of accuracy, step time and duration, fitted to the completed trials of a run.

    Accuracies, or what the run rewards instead, are modelled by their logit, times by their logarithm;
    parameters and MACs are counted.

    Args:
        terms: of the reward; by default the run's own.

    Raises:
        ConfigError: no run, too few completed trials, or a reward of what was not measured or modelled.
    """
    # 1. Completed trials of full length, and none that is longer.
    log = read_run(run)
    config = recorded_config(run)
    reward = recorded_reward(config.reward if terms is None else terms, where=run)
    completed = [
        row
        for _, row in sorted(log.trials.items())
        if row["status"] == "completed" and row["epochs"] == config.recipe.epochs
    ]
    if len({tuple(row["choices"]) for row in completed}) < FEWEST_ROWS:
        raise ConfigError(
            f"{run}: {len(completed)} completed trials; a model of them needs at least {FEWEST_ROWS} "
            "architectures: continue the search first"
        )
    if INFERENCE in reward.terms and any(row[INFERENCE] is None for row in completed):
        raise ConfigError(f"{run}: its trials did not measure {INFERENCE}; leave it out of --reward")
    # 2. A model for each measured quantity, fitted to rows that are spread over a long run.
    rows = [completed[i] for i in spread_out(len(completed))]
    models = _models(rows, timed=all(row[INFERENCE] is not None for row in rows))
    # 3. Parameters and MACs are counted; together they give the expected reward of any choices.
    resolution = config.recipe.last_resolution
    num_classes = classes_of(rows[0], run=run)
    modelled = ModelledReward(
        reward, count(config.space.reference, num_classes=num_classes, resolution=resolution)
    )
    space = config.space.choice_space(num_classes=num_classes, resolution=resolution)
    known = _known(space, modelled, models)
    # 4. The models' ranking of the trials they have not seen.
    try:
        tau = _taus(rows, modelled, models, known.space.known)
    except ValueError as error:
        raise ConfigError(f"{run}: {error}; leave it out of --reward") from None
    # 5. Where a schedule lets short trainings be continued, outcomes of these, too.
    if config.recipe.is_extensible and all(_has_curve(row) for row in rows):
        known = replace(known, epochs=config.recipe.epochs, curve=_curve(rows, models["accuracy"]))
    return ModelledRun(
        known=known,
        config=config,
        reward=reward,
        rows=len(rows),
        counted=sum(map(is_counted, log.trials.values())),
        tau=tau,
        noise=float(np.median([_noise(models["accuracy"], measured_objective(row)) for row in rows])),
    )


def _models(rows: list[TrialRow], *, timed: bool) -> dict[str, ChoiceModel]:
    choices = [row["choices"] for row in rows]
    logits = [_logit(measured_objective(row)) for row in rows]
    ratios = [math.log(measured(row, "step_time_ratio")) for row in rows]
    models = {
        "accuracy": fit_choice_model(choices, logits),
        "step_time_ratio": fit_choice_model(choices, ratios),
        "seconds": fit_choice_model(choices, [math.log(device_seconds(row) or 1.0) for row in rows]),
    }
    if timed:
        models[INFERENCE] = fit_choice_model(choices, [math.log(measured(row, INFERENCE)) for row in rows])
    return models


@dataclass(frozen=True)
class ModelledReward:
    """The reward of modelled ratios, from which a term of the user's own is computed."""

    reward: Reward
    reference: Counts

    def __call__(self, accuracy: float, ratios: Mapping[str, float]) -> float:
        """The reward of an accuracy and of ratios.

        Raises:
            ValueError: a term needs what is not modelled.
        """
        return self.reward.of(accuracy, lambda name: self._ratio(name, accuracy, ratios))

    def _ratio(self, name: str, accuracy: float, ratios: Mapping[str, float]) -> float:
        if name in ratios and REWARDABLE[name] is SHIPPED.get(name):
            return ratios[name]
        values = {**ratios, "accuracy": accuracy}
        for counted in ("params", "macs"):
            reference = getattr(self.reference, counted)
            values |= {counted: ratios[counted] * reference, f"reference_{counted}": reference}
        return recorded_ratio(name, values.__getitem__, where="the models of accuracy, times and counts")


def _known(space: ChoiceSpace, reward: ModelledReward, models: dict[str, ChoiceModel]) -> KnownOutcomes:
    @lru_cache(maxsize=200_000)  # strategies and seeds meet the same good architectures again
    def expected(choices: Choices) -> tuple[float, dict[str, float], float]:
        """Logit of the accuracy, ratios to the reference, seconds."""
        ratios = space.known(choices)
        for name in (INFERENCE, "step_time_ratio"):
            if name in models:
                ratios[name] = math.exp(models[name](choices))
        return models["accuracy"](choices), ratios, math.exp(models["seconds"](choices))

    def outcome(choices: Choices, seed: int, trial_id: int) -> Outcome:
        logit, ratios, _ = expected(choices)
        luck = np.random.default_rng([seed, trial_id, DERIVE_NOISE]).standard_normal()
        accuracy = _accuracy(logit + models["accuracy"].noise * float(luck))
        return Outcome(
            status="completed",
            reward=reward(accuracy, ratios),
            accuracy=accuracy,
            step_time_ratio=ratios["step_time_ratio"],
            params=ratios["params"],
        )

    def expected_reward(choices: Choices) -> float:
        logit, ratios, _ = expected(choices)
        return reward(_accuracy(logit), ratios)

    return KnownOutcomes(
        space=space,
        outcome=outcome,
        seconds=lambda choices: expected(choices)[2],
        expected_reward=expected_reward,
    )


def _has_curve(row: TrialRow) -> bool:
    return len(curve_of(row)) == row["epochs"]


def _curve(rows: list[TrialRow], last: ChoiceModel) -> Callable[[Choices, int, int], list[float]]:
    """Accuracies after each epoch, by a model for each; the luck of an epoch goes with the last one's."""
    choices = [row["choices"] for row in rows]
    final = np.array([_logit(measured_objective(row)) for row in rows])
    curves = list(map(curve_of, rows))
    epochs = rows[0]["epochs"]

    @lru_cache(maxsize=1)  # fitted when somebody asks for a shorter training
    def models() -> list[tuple[ChoiceModel, float]]:
        found = []
        for epoch in range(epochs - 1):
            values = np.array([_logit(accuracies[epoch]) for accuracies in curves])
            model = fit_choice_model(choices, values.tolist())
            found.append((model, _correlation(values - model.left_out, final - last.left_out)))
        return found

    @lru_cache(maxsize=200_000)
    def expected(chosen: Choices) -> list[float]:
        return [model(chosen) for model, _ in models()] + [last(chosen)]

    def curve(chosen: Choices, seed: int, trial_id: int) -> list[float]:
        # The first draw is that of the whole training's outcome; an epoch's own luck is mixed with it.
        luck, *others = np.random.default_rng([seed, trial_id, DERIVE_NOISE]).standard_normal(epochs).tolist()
        *logits, end = expected(chosen)
        found = []
        for logit, other, (model, shared) in zip(logits, others, models(), strict=True):
            mixed = shared * luck + math.sqrt(1 - shared**2) * other
            found.append(_accuracy(logit + model.noise * mixed))
        return [*found, _accuracy(end + last.noise * luck)]

    return curve


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Correlation, from 0 to 1; 0 where one of them is constant."""
    scale = float(first.std() * second.std())
    if not scale:
        return 0.0
    return min(max(float(((first - first.mean()) * (second - second.mean())).mean()) / scale, 0.0), 1.0)


def _taus(
    rows: list[TrialRow],
    reward: ModelledReward,
    models: dict[str, ChoiceModel],
    known: Callable[[Choices], dict[str, float]],
) -> dict[str, float]:
    """Kendall's tau by quantity, and of the reward: measured values against what all other rows expect."""
    expected = {name: np.exp(models[name].left_out) for name in models if name != "accuracy"}
    expected["accuracy"] = np.array([_accuracy(logit) for logit in models["accuracy"].left_out])
    found = {
        name: [measured(row, name) for row in rows]
        for name in expected
        if name not in ("accuracy", "seconds")
    }
    found["accuracy"] = list(map(measured_objective, rows))
    # The reward of each row: once of what was measured, once of what the others expect.
    rewards: dict[str, list[float]] = {"expected": [], "measured": []}
    for i, row in enumerate(rows):
        counted = known(tuple(row["choices"]))
        for kind, values in (("expected", expected), ("measured", found)):
            ratios = counted | {name: float(of[i]) for name, of in values.items()}
            rewards[kind].append(reward(ratios["accuracy"], ratios))
    return {"reward": kendall_tau(rewards["expected"], rewards["measured"])} | {
        name: kendall_tau(expected[name].tolist(), values) for name, values in found.items()
    }


def _logit(accuracy: float) -> float:
    return float(accuracy_logit(np.array(accuracy)))


def _accuracy(logit: float) -> float:
    return 1 / (1 + math.exp(-min(max(logit, -50.0), 50.0)))


def _noise(model: ChoiceModel, accuracy: float) -> float:
    """The standard deviation of an accuracy around this one; the model's is of the logit."""
    return model.noise * accuracy * (1 - accuracy)

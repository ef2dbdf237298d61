"""The predictor: its model is the process it claims to be, and it recommends by it, not by luck."""

from itertools import product

import numpy as np
import pytest

from nas.strategies.predictor.exact_search import ExactSearch
from nas.strategies.predictor.gaussian_process import (
    ChoiceProcess,
    Effects,
    Hyperparameters,
    OneHot,
    Prior,
    _Fit,
    fit_hyperparameters,
)
from nas.strategies.predictor.local_search import Climb, RewardEffects
from nas.strategies.predictor.predictor import Predictor, PredictorSettings
from nas.strategies.predictor.reward_model import KnownCosts, RewardHyperparameters, RewardModel, Told, logits
from search_spaces.choices.choice_space import Choices, ChoiceSpace
from trials.trial import Ask, Outcome, Status

OPTIONS = (3, 1, 4, 2)


def drawn_rows(count: int, options: tuple[int, ...] = OPTIONS, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(options, size=(count, len(options)))


def hyperparameters(options: tuple[int, ...] = OPTIONS, extras: int = 0) -> Hyperparameters:
    relevances = np.linspace(0.1, 0.6, len(options))
    return Hyperparameters(relevances, pairs=0.7, extras=np.full(extras, 0.4), noise=0.05)


def process(extras: int = 0) -> tuple[ChoiceProcess, OneHot, np.ndarray]:
    one_hot, rows = OneHot(OPTIONS), drawn_rows(15)
    rng = np.random.default_rng(1)
    known = rng.standard_normal((15, extras))
    made = ChoiceProcess(one_hot, rows, known, rng.standard_normal(15), hyperparameters(extras=extras))
    return made, one_hot, rows


# ---------------------------------------------------------------------- the process


def test_mean_of_the_gaussian_process_is_that_of_its_documented_covariance() -> None:
    one_hot, rows, others = OneHot(OPTIONS), drawn_rows(15), drawn_rows(6, seed=5)
    rng = np.random.default_rng(1)
    known, of_others = rng.standard_normal((15, 2)), rng.standard_normal((6, 2))
    values = rng.standard_normal(15)
    hyper = hyperparameters(extras=2)
    weights = np.sqrt(hyper.relevances)[one_hot.decision]

    def covariance(a: np.ndarray, b: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        shared = (one_hot.features(a) * weights) @ (one_hot.features(b) * weights).T
        return shared + hyper.pairs / 2 * shared**2 + (x * hyper.extras) @ y.T

    noisy = covariance(rows, rows, known, known) + hyper.noise * np.eye(15)
    centred = (values - values.mean()) / values.std()
    expected = values.mean() + values.std() * (
        covariance(others, rows, of_others, known) @ np.linalg.solve(noisy, centred)
    )
    mean = ChoiceProcess(one_hot, rows, known, values, hyper).mean()
    np.testing.assert_allclose(mean.of(one_hot.options(others), of_others), expected, atol=1e-4)


def test_samples_scatter_around_the_mean_and_less_where_trials_are_in_flight() -> None:
    made, one_hot, _ = process()
    others = one_hot.options(drawn_rows(5, seed=7))
    none = np.zeros((5, 0))
    cold = made.sample(np.random.default_rng(0), temperature=0.0)
    np.testing.assert_allclose(cold.of(others, none), made.mean().of(others, none), atol=1e-9)

    def samples(of: ChoiceProcess) -> np.ndarray:
        rng = np.random.default_rng(2)
        return np.array([of.sample(rng, temperature=1.0).of(others, none) for _ in range(400)])

    np.testing.assert_allclose(samples(made).mean(axis=0), made.mean().of(others, none), atol=0.2)
    believing = made.believing(drawn_rows(5, seed=7), none)
    np.testing.assert_allclose(believing.mean().of(others, none), made.mean().of(others, none), atol=0.1)
    assert (samples(believing).std(axis=0) < samples(made).std(axis=0)).all()


def test_variances_are_those_of_samples() -> None:
    made, one_hot, _ = process(extras=2)
    rows, known = drawn_rows(6, seed=7), np.random.default_rng(3).standard_normal((6, 2))
    variances, noise = made.variances(rows, known)
    rng = np.random.default_rng(2)
    samples = [made.sample(rng, temperature=1.0).of(one_hot.options(rows), known) for _ in range(4_000)]
    np.testing.assert_allclose(np.var(samples, axis=0), variances, rtol=0.15)
    values = np.random.default_rng(1)
    values.standard_normal((15, 2))
    assert noise == pytest.approx(0.05 * float(values.standard_normal(15).var()), rel=1e-3)


def test_forecast_spreads_more_for_one_training_and_less_where_trials_were_told() -> None:
    space = ChoiceSpace((3,) * 6)
    strategy = Predictor(space, 0, epochs=1, settings=PredictorSettings())
    assert strategy.forecast([(0,) * 6]) is None
    rng = np.random.default_rng(0)
    for trial_id, row in enumerate(drawn_rows(40, (3,) * 5).tolist()):
        tell(strategy, trial_id, (*row, 0), outcome(0.5 + 0.02 * sum(row) + 0.01 * rng.standard_normal()))
    found = strategy.forecast([(1, 1, 1, 1, 1, 0), (1, 1, 1, 1, 1, 2)])
    assert found is not None
    assert (found.trained > found.spread).all()
    assert found.spread[1] > found.spread[0]


def test_gradient_of_the_hyperparameters_is_that_of_the_loss() -> None:
    rows = drawn_rows(20)
    rng = np.random.default_rng(0)
    fit = _Fit(OneHot(OPTIONS), rows, rng.standard_normal((20, 2)), rng.standard_normal(20), Prior())
    at = fit.start + 0.3 * rng.standard_normal(len(fit.start))
    _, gradient = fit.loss(at)
    for i in range(len(at)):
        step = np.zeros(len(at))
        step[i] = 1e-5
        slope = (fit.loss(at + step)[0] - fit.loss(at - step)[0]) / 2e-5
        assert gradient[i] == pytest.approx(slope, rel=1e-3, abs=1e-4)


def test_fitted_relevances_tell_decisions_that_matter_from_others() -> None:
    options = (3,) * 6
    rows = drawn_rows(80, options)
    values = 2.0 * rows[:, 0] - rows[:, 3] + 0.05 * np.random.default_rng(0).standard_normal(80)
    found = fit_hyperparameters(OneHot(options), rows, np.zeros((80, 0)), values, Prior())
    assert set(np.argsort(-found.relevances)[:2]) == {0, 3}
    assert found.relevances[0] > 20 * found.relevances[1]
    assert found.noise < 0.05


def test_local_search_finds_the_best_unseen_choices() -> None:
    made, one_hot, _ = process()
    flat = Effects(0.3, np.zeros(10), np.zeros((10, 10)), np.zeros(0))
    reward = RewardEffects(made.mean(), flat)
    space = ChoiceSpace(OPTIONS)
    every = list(product(*map(range, OPTIONS)))
    scores = reward.of(one_hot.options(np.array(every)), np.zeros((len(every), 0)))
    best = [every[i] for i in np.argsort(-scores)]
    climb = Climb(space, one_hot, reward, seen=set())
    assert climb.best_unseen(every[::3], 1) == best[:1]
    unseen = Climb(space, one_hot, reward, seen={best[0]}).best_unseen(every, 1)
    assert unseen == best[1:2]


def test_exact_search_orders_all_allowed_representatives_by_the_reward() -> None:
    made, one_hot, _ = process()
    flat = Effects(0.3, np.zeros(10), np.zeros((10, 10)), np.zeros(0))
    reward = RewardEffects(made.mean(), flat)
    # Options 2 and 3 of the third decision build the same network; some choices are beyond a limit.
    space = ChoiceSpace(
        OPTIONS,
        canonical=lambda choices: (*choices[:2], min(choices[2], 2), choices[3]),
        is_allowed=lambda choices: choices[0] + choices[3] < 3,
    )
    every = [c for c in product(*map(range, OPTIONS)) if c[2] < 3 and c[0] + c[3] < 3]
    scores = reward.of(one_hot.options(np.array(every)), np.zeros((len(every), 0)))
    best = [every[i] for i in np.argsort(-scores)]
    search = ExactSearch(space)
    assert search.best_unseen(reward, set(), 100) == best
    assert search.best_unseen(reward, {best[0], best[2]}, 2) == [best[1], best[3]]
    assert search.best_unseen(reward, set(every), 2) == []


def test_large_space_is_not_searched_exactly() -> None:
    assert ExactSearch.fits(ChoiceSpace((2,) * 18))
    assert not ExactSearch.fits(ChoiceSpace((2,) * 19))


def test_failed_trial_counts_as_the_floor_of_accuracies() -> None:
    accuracy = np.array([0.9, 0.91, 0.92, 0.93, 0.45, 0.0])
    reward = accuracy * np.array([1.0, 1.0, 1.0, 1.0, 1.3, 0.0])
    found = 1 / (1 + np.exp(-logits(Told(np.zeros((6, 1), dtype=np.int64), accuracy, reward))))
    assert found[:4] == pytest.approx(accuracy[:4])
    assert found[4] == found[5] > 0.45
    assert 1.3 * found[4] < 0.93


def test_known_costs_of_a_space_are_learned_as_effects_of_choices() -> None:
    space = ChoiceSpace((4, 4, 4), known=lambda choices: {"params": float(np.exp(sum(choices)))})
    one_hot = OneHot(space.num_options)
    known = KnownCosts(space, one_hot, np.random.default_rng(0))
    every = list(product(range(4), repeat=3))
    (effects,) = known.effects
    found = effects.of(one_hot.options(np.array(every)), np.zeros((len(every), 0)))
    np.testing.assert_allclose(found, known.of(every)[:, 0], atol=0.02)


def test_gaussian_process_with_rows_added_is_that_of_all_rows() -> None:
    one_hot, rows = OneHot(OPTIONS), drawn_rows(15)
    rng = np.random.default_rng(1)
    known, values = rng.standard_normal((15, 2)), rng.standard_normal(15)
    hyper = hyperparameters(extras=2)
    early = ChoiceProcess(one_hot, rows[:11], known[:11], rng.standard_normal(11), hyper)
    added = early.measured_at(rows[11:], known[11:], values)
    whole = ChoiceProcess(one_hot, rows, known, values, hyper)
    others, of_others = one_hot.options(drawn_rows(6, seed=5)), rng.standard_normal((6, 2))
    expected = whole.mean().of(others, of_others)
    np.testing.assert_allclose(added.mean().of(others, of_others), expected, atol=1e-4)


# ---------------------------------------------------------------------- the strategy


def outcome(accuracy: float, cost: float = 1.0, status: Status = "completed") -> Outcome:
    return Outcome(status=status, reward=accuracy * cost, accuracy=accuracy, step_time_ratio=1.0, params=1.0)


def tell(strategy: Predictor, trial_id: int, choices: Choices, result: Outcome) -> None:
    ask = Ask(trial_id=trial_id, choices=choices, epochs=1)
    strategy.asked(ask)
    strategy.told(ask, result)


def test_predictor_recommends_the_best_expected_not_the_luckiest_result() -> None:
    strategy = Predictor(ChoiceSpace((3, 3, 3)), 0, epochs=1, settings=PredictorSettings())
    rng = np.random.default_rng(0)
    for trial_id, choices in enumerate(product(range(3), repeat=3)):
        luck = 0.12 if choices == (0, 2, 1) else 0.01 * rng.standard_normal()
        tell(
            strategy, trial_id, choices, outcome(0.6 + 0.05 * sum(choices) + luck - 0.02 * (choices[1] == 0))
        )
    assert strategy.leaders(1) == [(2, 2, 2)]


def test_predictor_recommends_a_network_that_is_better_than_its_options_say() -> None:
    """Far beyond what is left of the others, and more so the oftener it was seen."""
    strategy = Predictor(ChoiceSpace((3, 3, 3)), 0, epochs=1, settings=PredictorSettings())
    rng = np.random.default_rng(0)
    for trial_id, choices in enumerate(product(range(3), repeat=3)):
        own = 0.15 if choices == (2, 2, 1) else 0.01 * rng.standard_normal()
        tell(strategy, trial_id, choices, outcome(0.6 + 0.01 * sum(choices) + own))
    assert strategy.leaders(1) == [(2, 2, 1)]


def test_predictor_believes_half_of_a_networks_residual_and_more_of_a_mean() -> None:
    one_hot = OneHot((2, 2))
    rows = np.array([[0, 0], [0, 1], [1, 0], [1, 1], [1, 1], [1, 1]])
    accuracy = np.array([0.5, 0.6, 0.6, 0.72, 0.74, 0.73])
    told, extras = Told(rows, accuracy, accuracy), np.zeros((6, 0))
    known = KnownCosts(ChoiceSpace((2, 2)), one_hot, np.random.default_rng(0))
    model = RewardModel(one_hot, known, told, extras, RewardHyperparameters(hyperparameters((2, 2)), None))
    expected = model.mean.logit.of(one_hot.options(rows), extras)
    left = logits(told) - expected
    believed = np.append(0.5 * left[:3], [0.75 * left[3:].mean()] * 3)  # 1/2, and (1/2) / (1/2 + 1/6)
    assert model.trained(told, extras) == pytest.approx(-np.log1p(np.exp(-(expected + believed))))


def test_predictor_recommends_nothing_before_a_completed_trial() -> None:
    strategy = Predictor(ChoiceSpace((3, 3)), 0, epochs=1, settings=PredictorSettings())
    assert strategy.leaders(1) == []
    tell(strategy, 0, (0, 0), outcome(0.0, status="infeasible"))
    assert strategy.leaders(1) == []
    tell(strategy, 1, (1, 0), outcome(0.5))
    assert strategy.leaders(1) == [(1, 0)]


def test_predictor_finds_the_cheapest_network_in_few_trials_where_costs_are_known() -> None:
    """Accuracy is equal everywhere, and the reward a power of parameters, which the space knows."""
    sizes = np.random.default_rng(3).lognormal(0, 0.5, (10, 4))

    def params(choices: Choices) -> float:
        return float(sum(sizes[i, choice] for i, choice in enumerate(choices)))

    space = ChoiceSpace((4,) * 10, known=lambda choices: {"params": params(choices)})
    strategy = Predictor(space, 0, epochs=1, settings=PredictorSettings())
    asked = []
    for trial_id in range(18):
        ask = strategy.ask(trial_id)
        asked.append(params(ask.choices))
        tell(strategy, trial_id, ask.choices, outcome(0.7, params(ask.choices) ** -0.05))
    assert min(asked) < 1.02 * float(sizes.min(axis=1).sum())


def test_predictor_nearly_maximises_a_noisy_sum_of_effects_in_60_trials() -> None:
    rng = np.random.default_rng(0)
    own, pairs = rng.standard_normal((12, 3)), 0.3 * rng.standard_normal((11, 3, 3))

    def value(choices: Choices) -> float:
        paired = sum(pairs[i, choices[i], choices[i + 1]] for i in range(11))
        return float(sum(own[i, choice] for i, choice in enumerate(choices)) + paired)

    strategy = Predictor(ChoiceSpace((3,) * 12), 0, epochs=1, settings=PredictorSettings())
    for trial_id in range(60):
        ask = strategy.ask(trial_id)
        noisy = value(ask.choices) + 0.5 * rng.standard_normal()
        tell(strategy, trial_id, ask.choices, outcome(1 / (1 + np.exp(-noisy / 20 - 1))))
    drawn = [value(tuple(row)) for row in drawn_rows(20_000, (3,) * 12)]
    (best,) = strategy.leaders(1)
    assert value(best) > np.quantile(drawn, 0.999)


def test_replayed_predictor_asks_the_same_after_many_trials() -> None:
    """Live, models grow from ask to ask; a replay makes the last one at once."""
    space = ChoiceSpace((3,) * 8)
    live, replayed = (Predictor(space, 0, epochs=1, settings=PredictorSettings(rows=140)) for _ in range(2))
    rng = np.random.default_rng(0)
    for trial_id in range(170):
        choices = live.ask(trial_id).choices if trial_id >= 120 else space.sample(rng)
        result = outcome(0.5 + 0.01 * sum(choices) + 0.01 * rng.standard_normal())
        for strategy in (live, replayed):
            tell(strategy, trial_id, choices, result)
    assert replayed.ask(170) == live.ask(170)
    assert replayed.leaders(5) == live.leaders(5)


def test_predictor_asks_different_trials_while_many_are_in_flight() -> None:
    strategy = Predictor(ChoiceSpace((3,) * 8), 0, epochs=1, settings=PredictorSettings())
    for trial_id in range(20):
        ask = strategy.ask(trial_id)
        tell(strategy, trial_id, ask.choices, outcome(0.5 + 0.02 * sum(ask.choices)))
    asks = []
    for trial_id in range(20, 36):
        asks.append(strategy.ask(trial_id))
        strategy.asked(asks[-1])
    assert len({ask.choices for ask in asks}) == 16

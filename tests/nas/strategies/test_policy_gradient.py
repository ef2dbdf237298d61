"""The controller's arithmetic, what an update does, and that it learns."""

import itertools
import statistics
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from nas.strategies.policy_gradient.advantages import RewardScale
from nas.strategies.policy_gradient.controller import Controller, IndependentController, LstmController
from nas.strategies.policy_gradient.policy_gradient import (
    PolicyGradient,
    PolicyGradientSettings,
    policy_loss,
    taken,
)
from nas.strategies.random_search import RandomSearch, RandomSearchSettings
from nas.strategies.strategy import Strategy
from search_spaces.choices.choice_space import Choices, ChoiceSpace
from trials.trial import Ask, Outcome, Status

OPTIONS = (3, 2, 4)
EVERY = torch.tensor(list(itertools.product(*map(range, OPTIONS))))  # all 24 tuples
QUICK: dict[str, Any] = {"batch": 4, "hidden": 8}

pytestmark = pytest.mark.usefixtures("as_a_worker")


def controllers() -> dict[str, Controller]:
    """Both, away from uniform."""
    independent = IndependentController(OPTIONS)
    lstm = LstmController(OPTIONS, hidden=8, rng=np.random.default_rng(0))
    with torch.no_grad():
        generator = torch.Generator().manual_seed(0)
        for parameter in (*independent.parameters(), *lstm.parameters()):
            parameter.add_(torch.randn(parameter.shape, generator=generator))
    return {"independent": independent, "lstm": lstm}


def build(space: ChoiceSpace, seed: int = 0, **settings: Any) -> PolicyGradient:
    return PolicyGradient(space, seed, epochs=1, settings=PolicyGradientSettings(**settings))


every_controller = pytest.mark.parametrize("name", ["lstm", "independent"])


def told(strategy: Strategy, ask: Ask, reward: float, status: Status = "completed") -> None:
    strategy.told(
        ask, Outcome(status=status, reward=reward, accuracy=reward, step_time_ratio=1.0, params=1.0)
    )


# ---------------------------------------------------------------------- the controller


@every_controller
def test_controllers_probabilities_of_all_choices_sum_to_one(name: str) -> None:
    log_probs = taken(controllers()[name].log_probs(EVERY), EVERY).sum(1).detach()
    assert float(log_probs.exp().sum()) == pytest.approx(1, abs=1e-5)
    assert float(log_probs.exp().max()) > 2 / len(EVERY)  # not uniform: else this tests little


@every_controller
def test_controllers_decision_depends_only_on_those_before_it(name: str) -> None:
    log_probs = controllers()[name].log_probs(EVERY)  # (T, B, K)
    for t in range(len(OPTIONS)):
        by_prefix: dict[Choices, torch.Tensor] = {}
        for row, choices in zip(log_probs[t], EVERY.tolist(), strict=True):
            torch.testing.assert_close(row, by_prefix.setdefault(tuple(choices[:t]), row))
        distinct = len({tuple(row.tolist()) for row in by_prefix.values()})
        assert distinct == (1 if name == "independent" else len(by_prefix))


@every_controller
@torch.no_grad()
def test_controllers_draws_have_the_probabilities_that_they_report(name: str) -> None:
    controller = controllers()[name]
    uniforms = torch.from_numpy(np.random.default_rng(0).random((50_000, 3), dtype=np.float32))
    drawn, log_probs = controller.draw(uniforms, torch.zeros(50_000))
    torch.testing.assert_close(log_probs, taken(controller.log_probs(drawn), drawn), atol=2e-5, rtol=0)
    counts = torch.zeros(OPTIONS).index_put_(tuple(drawn.T), torch.tensor(1.0), accumulate=True)  # by choices
    expected = taken(controller.log_probs(EVERY), EVERY).sum(1).exp().reshape(OPTIONS)
    assert float((counts / 50_000 - expected).abs().max()) < 0.01


@every_controller
@torch.no_grad()
def test_exploring_draws_report_the_probabilities_of_the_mixture(name: str) -> None:
    controller = controllers()[name]
    uniforms = torch.from_numpy(np.random.default_rng(0).random((200, 3), dtype=np.float32))
    drawn, log_probs = controller.draw(uniforms, torch.full((200,), 0.3))
    pure = taken(controller.log_probs(drawn), drawn).exp()
    torch.testing.assert_close(log_probs.exp(), 0.7 * pure + 0.3 / torch.tensor(OPTIONS))
    drawn, log_probs = controller.draw(uniforms, torch.ones(200))
    torch.testing.assert_close(log_probs.exp(), (1 / torch.tensor(OPTIONS)).expand(200, -1))


def test_lstm_controller_begins_nearly_uniform_and_by_its_seed_alone() -> None:
    def log_probs(seed: int) -> torch.Tensor:
        controller = LstmController(OPTIONS, hidden=100, rng=np.random.default_rng(seed))
        assert all(float(weights.detach().abs().max()) <= 0.1 for weights in controller.parameters())
        return taken(controller.log_probs(EVERY), EVERY).sum(1).detach()

    before = torch.random.get_rng_state()
    first = log_probs(0)
    assert float(first.max() - first.min()) < 1
    assert torch.equal(first, log_probs(0))
    assert not torch.equal(first, log_probs(1))
    assert torch.equal(before, torch.random.get_rng_state())


# ---------------------------------------------------------------------- an update


def textbook_loss(
    log_probs: torch.Tensor,
    tokens: torch.Tensor,
    old: torch.Tensor,
    gains: torch.Tensor,
    settings: PolicyGradientSettings,
) -> torch.Tensor:
    """The same as policy_loss, term by term as in the papers."""
    total = torch.zeros(())
    for b, t in itertools.product(range(len(tokens)), range(len(OPTIONS))):
        options = log_probs[t, b, : OPTIONS[t]]
        present, gain = options[tokens[b, t]], gains[b]
        ratio = torch.exp(present - old[b, t])
        if settings.algorithm == "reinforce":
            total = total + torch.clamp(ratio, max=2).detach() * gain * present
        elif gain >= 0:
            total = total + torch.clamp(ratio, max=1 + settings.clip) * gain
        else:
            total = total + torch.clamp(ratio, min=1 - settings.clip) * gain
        total = total - settings.entropy_weight * (options.exp() * options).sum()
    return -total / len(tokens)


@every_controller
@pytest.mark.parametrize("algorithm", ["ppo", "reinforce"])
def test_policy_gradient_is_that_of_the_textbook(name: str, algorithm: Any) -> None:
    controller = controllers()[name]
    settings = PolicyGradientSettings(algorithm=algorithm, entropy_weight=0.3)
    generator = torch.Generator().manual_seed(1)
    gains = torch.randn(len(EVERY), generator=generator)
    late = 0.3 * torch.randn(EVERY.shape, generator=generator)  # on both sides of the clip range
    old = taken(controller.log_probs(EVERY), EVERY).detach() + late
    gradients = []
    for loss in (policy_loss, textbook_loss):
        value = loss(controller.log_probs(EVERY), EVERY, old, gains, settings)
        gradients.append((value, *torch.autograd.grad(value, controller.parameters())))
    for ours, textbook in zip(*gradients, strict=True):
        assert bool(ours.isfinite().all())
        torch.testing.assert_close(ours, textbook, atol=1e-6, rtol=1e-4)


def probability(strategy: PolicyGradient, choices: Choices) -> float:
    tokens = torch.tensor([choices])
    return float(taken(strategy._controller.log_probs(tokens), tokens).detach().sum().exp())


@every_controller
@pytest.mark.parametrize("algorithm", ["ppo", "reinforce"])
def test_choices_of_higher_reward_become_likelier(name: str, algorithm: str) -> None:
    strategy = build(ChoiceSpace(OPTIONS), algorithm=algorithm, controller=name, learning_rate=0.05, **QUICK)
    good, bad = (2, 0, 3), (0, 1, 1)
    before = probability(strategy, good), probability(strategy, bad)
    for trial_id in range(8):
        ask = Ask(trial_id=trial_id, choices=(good, bad)[trial_id % 2], epochs=1)
        told(strategy, ask, reward=0.9 - 0.01 * (trial_id % 2))
    assert probability(strategy, good) > 1.2 * before[0]
    assert probability(strategy, bad) < 0.9 * before[1]


def test_late_results_are_weighted_by_how_likely_their_choices_still_are() -> None:
    def moved_by(log_probs: list[float] | None) -> float:
        strategy = build(ChoiceSpace(OPTIONS), algorithm="reinforce", **QUICK)
        aux = {} if log_probs is None else {"log_probs": log_probs}
        before = probability(strategy, (0, 0, 0))
        for trial_id in range(4):
            choices = (0, 0, 0) if trial_id == 0 else (1, 1, trial_id)
            ask = Ask(trial_id=trial_id, choices=choices, epochs=1, aux=aux if trial_id == 0 else {})
            told(strategy, ask, reward=0.9 if trial_id == 0 else 0.8)
        # Adam's first step hides how long a gradient is: its direction between two trials shows the weight.
        return probability(strategy, (0, 0, 0)) / before

    assert moved_by([-1e-3] * 3) < moved_by(None)  # it was certain then; by now it is one of many


def test_policy_learns_from_infeasible_and_cached_trials() -> None:
    for status in ("infeasible", "cached"):
        strategy = build(ChoiceSpace(OPTIONS), **QUICK)
        before = probability(strategy, (0, 0, 0))
        for trial_id in range(12):
            worse = trial_id % 2 == 0
            ask = Ask(trial_id=trial_id, choices=(0, 0, 0) if worse else (1, 1, 1), epochs=1)
            told(strategy, ask, 0.0 if worse else 0.8, status if worse else "completed")
        assert probability(strategy, (0, 0, 0)) < before


def test_advantages_are_scaled_by_the_spread_of_feasible_rewards() -> None:
    rewards = [0.90, 0.91, 0.92, 0.93, 0.94, 0.95, 0.96, 0.97]
    plain = RewardScale(0.95).advantages(rewards)
    assert plain == pytest.approx([(r - 0.935) / np.std(rewards) for r in rewards])
    assert RewardScale(0.95).advantages([1000 * r for r in rewards]) == pytest.approx(plain)
    with_failures = RewardScale(0.95).advantages([*rewards, None, None])
    assert with_failures[-1] == with_failures[-2] < 0
    assert with_failures[7] - with_failures[0] > 0.9 * (plain[7] - plain[0])
    outlier = RewardScale(0.95).advantages([*rewards, 0.1])
    assert outlier[7] - outlier[0] > 0.5 * (plain[7] - plain[0])


def test_baseline_of_advantages_moves_with_the_rewards() -> None:
    scale = RewardScale(0.5)
    scale.advantages([0.5, 0.7])
    assert sum(scale.advantages([0.8, 1.0])) > 0  # both above what was usual
    for _ in range(20):
        last = scale.advantages([0.8, 1.0])
    assert min(last) < 0 < max(last)


def test_equal_rewards_have_advantages_of_zero() -> None:
    assert RewardScale(0.95).advantages([0.5] * 4) == [0.0] * 4
    assert RewardScale(0.95).advantages([None] * 4) == [0.0] * 4


# ---------------------------------------------------------------------- asking


def test_asks_of_a_policy_keep_the_log_probabilities_of_their_draw() -> None:
    strategy = build(ChoiceSpace((3, 1, 2, 4)), hidden=8)
    ask = strategy.ask(0)
    tokens = torch.tensor([[ask.choices[0], *ask.choices[2:]]])  # one option is no decision
    expected = taken(strategy._controller.log_probs(tokens), tokens)[0]
    torch.testing.assert_close(torch.tensor(ask.aux["log_probs"]), expected, atol=2e-6, rtol=0)


def test_policy_learns_equal_choices_as_they_were_drawn() -> None:
    space = ChoiceSpace((2, 3, 4), canonical=lambda choices: (0, 0, 0) if choices[0] == 0 else choices)
    strategy = build(space, hidden=8)
    asks = [strategy.ask(trial_id) for trial_id in range(60)]
    merged = [ask for ask in asks if "drawn" in ask.aux]
    assert merged
    assert all(ask.choices == (0, 0, 0) and ask.aux["drawn"][0] == 0 for ask in merged)
    assert all(ask.aux["drawn"] != [0, 0, 0] for ask in merged)


def test_policy_that_is_nearly_certain_still_avoids_what_was_asked() -> None:
    strategy = build(ChoiceSpace((3,) * 6), learning_rate=0.03, **QUICK)
    asked = []
    for trial_id in range(150):
        ask = strategy.ask(trial_id)
        strategy.asked(ask)
        asked.append(ask.choices)
        told(strategy, ask, 0.5 + sum(ask.choices) / 24)
    assert probability(strategy, (2,) * 6) > 0.2
    assert len(set(asked)) >= 145


def test_a_withdrawn_ask_may_be_proposed_again() -> None:
    strategy = build(ChoiceSpace((4,) * 6), **QUICK)
    ask = strategy.ask(0)
    strategy.asked(ask)
    assert strategy.ask(0).choices != ask.choices
    strategy.withdrawn(ask)
    assert strategy.ask(0) == ask


def test_number_of_threads_changes_no_ask_of_a_policy() -> None:
    asks = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        strategy = build(ChoiceSpace((4,) * 12), batch=8)
        for trial_id in range(24):
            ask = strategy.ask(trial_id)
            strategy.asked(ask)
            told(strategy, ask, sum(ask.choices) / 36)
        assert torch.get_num_threads() == threads
        asks.append(strategy.ask(99))
    assert asks[0] == asks[1]


# ---------------------------------------------------------------------- learning

TARGET = np.random.default_rng(5)
WORTH = [TARGET.normal(size=4) for _ in range(10)]
TOGETHER = TARGET.normal(size=(9, 4, 4)) / 2


def synthetic_reward(choices: Choices) -> float:
    """What each option is worth, and each pair of neighbours; about 0.9, as rewards of networks are."""
    alone = sum(worth[choice] for worth, choice in zip(WORTH, choices, strict=True))
    pairs = sum(table[pair] for table, pair in zip(TOGETHER, itertools.pairwise(choices), strict=True))
    return 0.9 + 0.003 * float(alone + pairs)


def best_after(strategy: Strategy, trials: int, *, lag: int = 4) -> float:
    """The best reward, while that many trials are in flight."""
    waiting: list[Ask] = []
    best = 0.0
    for trial_id in range(trials):
        ask = strategy.ask(trial_id)
        strategy.asked(ask)
        waiting.append(ask)
        if len(waiting) > lag:
            ended = waiting.pop(0)
            best = max(best, synthetic_reward(ended.choices))
            told(strategy, ended, synthetic_reward(ended.choices))
    return best


def optimum() -> float:
    """The highest synthetic reward, by dynamic programming along the pairs."""
    best = WORTH[0]
    for worth, table in zip(WORTH[1:], TOGETHER, strict=True):
        best = (best[:, None] + table).max(0) + worth
    return 0.9 + 0.003 * float(best.max())


@every_controller
def test_policy_gradient_comes_much_closer_to_the_optimum_than_random_search(name: Any) -> None:
    space = ChoiceSpace((4,) * 10)
    rate = {"lstm": None, "independent": 0.05}[name]
    learned, uniform = [], []
    for seed in range(3):
        strategy = build(space, seed, controller=name, learning_rate=rate, hidden=32)
        learned.append(optimum() - best_after(strategy, 250))
        unguided = RandomSearch(space, seed, epochs=1, settings=RandomSearchSettings())
        uniform.append(optimum() - best_after(unguided, 250))
    assert min(learned) >= -1e-9
    assert max(learned) < min(uniform)
    assert statistics.mean(learned) < 0.4 * statistics.mean(uniform)


# ---------------------------------------------------------------------- settings


def test_nasnet_preset_has_the_papers_settings_and_can_be_overridden() -> None:
    paper = PolicyGradientSettings(preset="nasnet")
    assert (paper.learning_rate, paper.entropy_weight) == (3.5e-4, 1e-5)
    assert (paper.baseline_decay, paper.batch, paper.hidden) == (0.95, 20, 100)
    default = PolicyGradientSettings()
    assert (paper.algorithm, paper.clip, paper.ppo_epochs) == ("ppo", default.clip, default.ppo_epochs)
    changed = PolicyGradientSettings(preset="nasnet", learning_rate=1e-3, batch=5)
    assert changed == replace(paper, learning_rate=1e-3, batch=5)


def test_wrong_settings_of_policy_gradient_are_refused_by_name() -> None:
    paper = PolicyGradientSettings(preset="nasnet")
    assert PolicyGradientSettings(preset="nasnet", learning_rate=None, algorithm=None) == paper  # type: ignore[arg-type]

"""Reinforcement learning: a controller proposes architectures, and is trained by PPO on their rewards.

The controller of NASNet (Zoph et al. 2018, arXiv 1707.07012, appendix A.2), which MnasNet (arXiv 1807.11626)
also used; PPO is of Schulman et al. 2017 (arXiv 1707.06347).
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass
from pydantic_core import ArgsKwargs
from torch import Tensor

from nas.strategies.policy_gradient.advantages import RewardScale
from nas.strategies.policy_gradient.controller import Controller, IndependentController, LstmController
from nas.strategies.strategy import SETTINGS, AvoidsAsked
from search_spaces.choices.choice_space import Choices, ChoiceSpace
from trials.devices.threads import using_threads
from trials.trial import Ask, Outcome

THREADS = 1  # more do not help such small products, and must not decide the last digit
DERIVE_WEIGHTS = 2**63  # seeds the first weights apart from asks, which are seeded with their trial's number
# Share of decisions drawn uniformly, for each proposal of one ask: the policy's own come first, then bolder
# ones; the first that is within the limits and new is taken. Without these, a policy that has learned asks
# for the same few dozen architectures again and again.
EXPLORATION = (0.0, 0.0, 0.0, 0.0, *(0.5 * i / 12 for i in range(1, 13)))
UNIFORM_DRAWS = 16  # draws to choose from where all proposals are beyond the limits
MAX_WEIGHT = 2.0  # largest importance weight of a decision in REINFORCE, where a result comes late
MAX_RATIO = 10.0  # PPO does not bound a bad choice that has become likely since; Adam would not recover

# Values in the place of the defaults. NASNet's numbers are made for 20,000 trials: within hundreds the policy
# hardly learns. The paper gives neither the clip range nor the gradient steps per update.
PRESETS: dict[str, dict[str, float]] = {
    "default": {},
    "nasnet": {
        "learning_rate": 3.5e-4, "entropy_weight": 1e-5, "baseline_decay": 0.95, "batch": 20, "hidden": 100
    },
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class PolicyGradientSettings:
    """The policy, and how it learns.

    Attributes:
        preset: `nasnet` has the paper's numbers. Settings that are given replace those of the preset; None
            stands for the preset's.
    """

    preset: Literal["default", "nasnet"] = "default"
    algorithm: Literal["ppo", "reinforce"] = "ppo"
    controller: Literal["lstm", "independent"] = "lstm"
    learning_rate: float = Field(default=3.5e-3, ge=1e-8, le=10)  # of Adam
    # Weight of the policy's entropy (nats) beside advantages of about 1.
    entropy_weight: float = Field(default=0.01, ge=0, le=100)
    # PPO: largest distance from 1 of a decision's probability ratio that still has a gradient.
    clip: float = Field(default=0.2, ge=1e-3, le=10)
    # Decay of the moving average of rewards, per told trial.
    baseline_decay: float = Field(default=0.95, ge=0, le=1)
    batch: int = Field(default=10, ge=1, le=10_000)  # told trials per update
    ppo_epochs: int = Field(default=4, ge=1, le=1_000)  # gradient steps per update; REINFORCE takes one
    hidden: int = Field(default=100, ge=1, le=1_024)  # units of the LSTM

    @model_validator(mode="before")
    @classmethod
    def _with_preset(cls, given: ArgsKwargs) -> ArgsKwargs:
        kwargs = given.kwargs or {}
        values = {name: value for name, value in kwargs.items() if value is not None or name == "preset"}
        preset = values.get("preset", "default")
        defaults = PRESETS.get(preset, {}) if isinstance(preset, str) else {}
        return ArgsKwargs(given.args, {**defaults, **values})


@dataclasses.dataclass(frozen=True)
class _Told:
    """A trial that waits for the next update."""

    tokens: list[int]  # the options of the decisions that are open
    log_probs: list[float] | None  # their log-probabilities when they were drawn; None: not drawn by a policy
    reward: float | None  # None: infeasible


class PolicyGradient(AvoidsAsked):
    """An autoregressive policy over the decisions, trained on the rewards of what it proposed.

    Differs from the paper: updates are asynchronous. Each ask keeps the log-probabilities that it was drawn
    with, so a trial that ends under a later policy is weighted by the ratio of its probabilities. Advantages
    are rewards above a moving average, over the spread of their batch (see RewardScale). An ask avoids what
    was asked before while it can: its later proposals draw some decisions uniformly. Draws that build the
    same network are learned as they were drawn (`drawn` in aux), and asked by their representative
    (`choices`). Asks of others (the baseline, an earlier run) teach as if the present policy had drawn them;
    outcomes of equal trials (`cached`) teach too.
    """

    Settings: ClassVar[type[PolicyGradientSettings]] = PolicyGradientSettings

    def __init__(
        self, space: ChoiceSpace, seed: int, *, epochs: int, settings: PolicyGradientSettings
    ) -> None:
        self._space, self._seed, self._epochs, self._settings = space, seed, epochs, settings
        self._open = [i for i, count in enumerate(space.num_options) if count > 1]
        self._scale = RewardScale(self._settings.baseline_decay)
        self._waiting: list[_Told] = []
        self._seen: set[Choices] = set()
        if self._open:
            self._controller = _controller(self._settings, [space.num_options[i] for i in self._open], seed)
            self._optimizer = torch.optim.Adam(self._controller.parameters(), lr=self._settings.learning_rate)

    def ask(self, trial_id: int) -> Ask:
        """The policy's first proposal that is within the limits and was not asked before."""
        rng = np.random.default_rng([self._seed, trial_id])
        if not self._open:
            return Ask(trial_id=trial_id, choices=self._space.sample(rng), epochs=self._epochs)
        with using_threads(THREADS), torch.inference_mode():
            choices, tokens, log_probs = self._propose(rng)
        aux: dict[str, Any] = {"log_probs": [round(value, 6) for value in log_probs]}
        if tokens != self._tokens(choices):
            aux["drawn"] = tokens
        return Ask(trial_id=trial_id, choices=choices, epochs=self._epochs, aux=aux)

    def told(self, ask: Ask, outcome: Outcome) -> None:
        """Adds the trial to the batch; the policy learns from a full one."""
        if not self._open:
            return
        # A cached outcome does not say that its trial was infeasible, but only infeasible ones have reward 0.
        failed = outcome.status == "infeasible" or outcome.reward <= 0
        self._waiting.append(self._remembered(ask, None if failed else outcome.reward))
        if len(self._waiting) >= self._settings.batch:
            with using_threads(THREADS), torch.enable_grad():
                self._update(self._waiting)
            self._waiting = []

    # ------------------------------------------------------------------ proposing

    def _propose(self, rng: np.random.Generator) -> tuple[Choices, list[int], list[float]]:
        """Choices, the tokens that were drawn for them, and these tokens' log-probabilities."""
        # Draw all proposals at once, from the policy's own to the boldest.
        uniforms = rng.random((len(EXPLORATION), len(self._open)), dtype=np.float32)
        drawn, log_probs = self._controller.draw(torch.from_numpy(uniforms), torch.tensor(EXPLORATION))
        # Take the first allowed one that is new; else the first allowed one.
        first = None
        for tokens, row in zip(drawn.tolist(), log_probs, strict=True):
            choices = self._space.canonical(self._choices(tokens))
            if self._space.is_allowed(choices):
                first = first or (choices, tokens, row)
                if choices not in self._seen:
                    first = choices, tokens, row
                    break
        # Limits that no proposal keeps: choose among uniform draws within them.
        if first is None:
            return self._among_uniform(rng)
        return first[0], first[1], first[2].tolist()

    def _among_uniform(self, rng: np.random.Generator) -> tuple[Choices, list[int], list[float]]:
        """One of several uniform draws, in proportion to the policy's probabilities.

        This is the policy restricted to limits that it hardly ever keeps by itself. Its log-probabilities
        lack a normalising constant, which cancels in the ratio to a later policy's.
        """
        sampled = [self._space.sample(rng) for _ in range(UNIFORM_DRAWS)]
        candidates = [choices for choices in sampled if choices not in self._seen] or sampled
        tokens = [self._tokens(choices) for choices in candidates]
        log_probs = taken(self._controller.log_probs(torch.tensor(tokens)), torch.tensor(tokens))  # (B, T)
        weights = log_probs.double().sum(1).softmax(0).cumsum(0)
        i = min(int((weights <= rng.random()).sum()), len(candidates) - 1)
        return candidates[i], tokens[i], log_probs[i].tolist()

    def _tokens(self, choices: Choices) -> list[int]:
        """The options of the open decisions, those with more than one option."""
        return [choices[i] for i in self._open]

    def _choices(self, tokens: Sequence[int]) -> Choices:
        """The inverse of `_tokens`."""
        chosen = [0] * len(self._space.num_options)
        for i, token in zip(self._open, tokens, strict=True):
            chosen[i] = token
        return tuple(chosen)

    # ------------------------------------------------------------------ learning

    def _remembered(self, ask: Ask, reward: float | None) -> _Told:
        """The trial as it was drawn; without log-probabilities if another strategy proposed it."""
        log_probs = ask.aux.get("log_probs")
        if log_probs is None or len(log_probs) != len(self._open):
            return _Told(self._tokens(ask.choices), None, reward)
        return _Told(list(ask.aux.get("drawn", self._tokens(ask.choices))), list(log_probs), reward)

    def _update(self, told: Sequence[_Told]) -> None:
        """Trains the policy on a batch of told trials."""
        tokens = torch.tensor([trial.tokens for trial in told])  # (B, T)
        advantages = torch.tensor(self._scale.advantages([trial.reward for trial in told]))  # (B,)
        # Log-probabilities under the policy that drew each trial; those of others count as drawn by this one.
        with torch.no_grad():
            old = taken(self._controller.log_probs(tokens), tokens)  # (B, T)
        for i, trial in enumerate(told):
            if trial.log_probs is not None:
                old[i] = torch.tensor(trial.log_probs)
        # PPO takes several gradient steps on one batch, which its clipping allows; REINFORCE takes one.
        for _ in range(self._settings.ppo_epochs if self._settings.algorithm == "ppo" else 1):
            loss = policy_loss(self._controller.log_probs(tokens), tokens, old, advantages, self._settings)
            self._optimizer.zero_grad()
            loss.backward()
            self._optimizer.step()


def policy_loss(
    log_probs: Tensor, tokens: Tensor, old: Tensor, advantages: Tensor, settings: PolicyGradientSettings
) -> Tensor:
    """The loss of an update: minus the mean over trials of objective and weighted entropy.

    PPO's clipped objective (Schulman et al. 2017, equation 7) is taken decision by decision, every decision
    with its trial's advantage. REINFORCE's gradient is weighted by the same ratios, cut off at MAX_WEIGHT.

    Args:
        log_probs: the present policy's log-probabilities of every option, (T, B, K).
        tokens: the options that were taken, (B, T) int64.
        old: log-probabilities of the tokens when they were drawn, (B, T).
        advantages: (B,).
    """
    # How much likelier each decision is now than when it was drawn.
    present = taken(log_probs, tokens)  # (B, T)
    ratios, gain = (present - old).exp().clamp(max=MAX_RATIO), advantages[:, None]
    # Objective of each decision, (B, T).
    if settings.algorithm == "ppo":
        clipped = ratios.clamp(1 - settings.clip, 1 + settings.clip)
        objective = torch.minimum(ratios * gain, clipped * gain)
    else:
        objective = ratios.detach().clamp(max=MAX_WEIGHT) * present * gain
    # Entropy of the policy; an option that does not exist has probability 0, and 0 * -inf is not a number.
    entropy = -(log_probs.exp() * log_probs.clamp(min=-1e4)).sum((0, 2))  # (B,)
    return -(objective.sum(1) + settings.entropy_weight * entropy).mean()


def taken(log_probs: Tensor, tokens: Tensor) -> Tensor:
    """The log-probabilities of the options taken: (T, B, K) and (B, T) to (B, T)."""
    return log_probs.gather(2, tokens.T[..., None])[..., 0].T


def _controller(settings: PolicyGradientSettings, num_options: Sequence[int], seed: int) -> Controller:
    if settings.controller == "independent":
        return IndependentController(num_options)
    rng = np.random.default_rng([seed, DERIVE_WEIGHTS])
    return LstmController(num_options, hidden=settings.hidden, rng=rng)

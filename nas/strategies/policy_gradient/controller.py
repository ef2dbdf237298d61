"""Policies over choices as networks: the NASNet controller's LSTM, and one categorical per decision."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

INIT_RANGE = 0.1  # weights begin uniform in (-0.1, 0.1): NASNet's, and nearly a uniform policy
LEAST = 1e-12  # probability that is reported: the log must be finite, also where rounding chose the option


class Controller(Protocol):
    """A policy over choices of T decisions with up to K options each; B of them are a batch."""

    def log_probs(self, choices: Tensor) -> Tensor:
        """Of every option, given the choices before it: (B, T) int64 to (T, B, K); -inf for no option."""
        ...

    def draw(self, uniforms: Tensor, exploration: Tensor) -> tuple[Tensor, Tensor]:
        """Choices and their log-probabilities, both (B, T), from numbers uniform in [0, 1), (B, T).

        A decision of row b is drawn uniformly with probability `exploration[b]` (B,), else by the policy; the
        log-probabilities are of this mixture.
        """
        ...

    def parameters(self) -> list[nn.Parameter]:
        """What is trained."""
        ...


class LstmController:
    """One LSTM layer that takes the decisions one after another (NASNet, arXiv 1707.07012, appendix A.2).

    A decision's input is the embedding of the option taken before it; a softmax over its own options, with
    weights of its own, follows.

    Args:
        num_options: of each decision, at least one decision, at least two options.
        hidden: units of the layer and of the embeddings.
        rng: draws the first weights.
    """

    def __init__(self, num_options: Sequence[int], *, hidden: int, rng: np.random.Generator) -> None:
        def uniform(*shape: int) -> nn.Parameter:
            values = rng.uniform(-INIT_RANGE, INIT_RANGE, shape)
            return nn.Parameter(torch.as_tensor(values, dtype=torch.float32))

        length, most = len(num_options), max(num_options)
        # Row 0 opens the sequence; the options of decision t, as inputs of the next one, begin at starts[t].
        self._starts = torch.as_tensor(np.cumsum([1, *num_options[:-2]]))[:, None]  # (T - 1, 1)
        self._embedding = uniform(1 + sum(num_options[:-1]), hidden)
        # Without a device it does not draw weights, which would use the generator of trials.
        self._lstm = nn.LSTM(hidden, hidden, device="meta").to_empty(device="cpu")
        self._head_weight = uniform(length, hidden, most)
        self._head_bias = uniform(length, 1, most)
        self._options = _Options(num_options)
        with torch.no_grad():
            for parameter in self._lstm.parameters():
                parameter.copy_(uniform(*parameter.shape))

    def parameters(self) -> list[nn.Parameter]:
        """What is trained."""
        return [self._embedding, self._head_weight, self._head_bias, *self._lstm.parameters()]

    def log_probs(self, choices: Tensor) -> Tensor:
        """See Controller."""
        tokens = choices.T[:-1] + self._starts[: choices.shape[1] - 1]  # (T - 1, B)
        tokens = nn.functional.pad(tokens, (0, 0, 1, 0))  # (T, B)
        outputs, _ = self._lstm(nn.functional.embedding(tokens, self._embedding))  # (T, B, hidden)
        logits = torch.baddbmm(self._head_bias, outputs, self._head_weight)  # (T, B, K)
        return (logits + self._options.absent).log_softmax(-1)

    def draw(self, uniforms: Tensor, exploration: Tensor) -> tuple[Tensor, Tensor]:
        """See Controller."""
        weights = dict(self._lstm.named_parameters())
        cell = [weights[f"{name}_l0"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        biases = self._head_bias + self._options.absent  # (T, 1, K)
        hidden = state = torch.zeros(len(uniforms), self._lstm.hidden_size)
        token = torch.zeros(len(uniforms), dtype=torch.int64)
        drawn = []
        for t in range(uniforms.shape[1]):
            # One step after another: nn.LSTM would take several times as long.
            hidden, state = torch.lstm_cell(self._embedding[token], (hidden, state), *cell)
            probs = torch.addmm(biases[t], hidden, self._head_weight[t]).softmax(1)  # (B, K)
            drawn.append(self._options.pick(t, probs, uniforms[:, t : t + 1], exploration))
            if t + 1 < uniforms.shape[1]:
                token = drawn[t][0][:, 0] + self._starts[t]
        return _joined(drawn)


class IndependentController:
    """One categorical distribution per decision, whatever the other choices; uniform at first."""

    def __init__(self, num_options: Sequence[int]) -> None:
        self._logits = nn.Parameter(torch.zeros(len(num_options), 1, max(num_options)))
        self._options = _Options(num_options)

    def parameters(self) -> list[nn.Parameter]:
        """What is trained."""
        return [self._logits]

    def log_probs(self, choices: Tensor) -> Tensor:
        """See Controller."""
        return (self._logits + self._options.absent).log_softmax(-1).expand(-1, len(choices), -1)

    def draw(self, uniforms: Tensor, exploration: Tensor) -> tuple[Tensor, Tensor]:
        """See Controller."""
        probs = self.log_probs(uniforms).exp()  # (T, B, K)
        picks = (
            self._options.pick(t, probs[t], uniforms[:, t : t + 1], exploration)
            for t in range(uniforms.shape[1])
        )
        return _joined(list(picks))


class _Options:
    """How many options each decision has, beside decisions that have more."""

    def __init__(self, num_options: Sequence[int]) -> None:
        self._num_options = num_options
        counts = torch.tensor(num_options)[:, None, None]
        present = torch.arange(max(num_options)) < counts
        self.absent = torch.zeros(present.shape).masked_fill(~present, -torch.inf)  # (T, 1, K)
        self._uniform = present / counts  # (T, 1, K)

    def pick(self, t: int, probs: Tensor, uniforms: Tensor, exploration: Tensor) -> tuple[Tensor, Tensor]:
        """Options of decision t and the probability that each was drawn with, both (B, 1)."""
        probs = torch.lerp(probs, self._uniform[t], exploration[:, None])  # (B, K)
        option = torch.searchsorted(probs.cumsum(1).contiguous(), uniforms.contiguous(), right=True)
        option.clamp_(max=self._num_options[t] - 1)  # where rounding left the sum below 1
        return option, probs.gather(1, option)


def _joined(picks: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Of T picks, (B, 1) each, the options and the logarithms of the probabilities, both (B, T)."""
    options, probs = zip(*picks, strict=True)
    return torch.cat(options, 1), torch.cat(probs, 1).clamp_(min=LEAST).log()

"""Advantages of rewards: how far above the usual they are, in units of how far rewards spread."""

from collections import deque
from collections.abc import Sequence

import numpy as np

from nas.strategies.robust_floor import robust_floor

RECENT = 100  # rewards by which floor and spread are judged


class RewardScale:
    """A moving average of rewards, and their spread, as of the trials told so far.

    Rewards far below the recent ones count as much as the floor, three robust standard deviations below
    their median; so do infeasible trials, whose reward of 0 would make all others look alike.

    Args:
        decay: per reward, of the moving average.
    """

    def __init__(self, decay: float) -> None:
        self._decay = decay
        self._recent: deque[float] = deque(maxlen=RECENT)
        self._baseline: float | None = None

    def advantages(self, rewards: Sequence[float | None]) -> list[float]:
        """Of a batch in order of tells; None is an infeasible trial. The batch is taken in."""
        self._recent.extend(reward for reward in rewards if reward is not None)
        if not self._recent:
            return [0.0] * len(rewards)
        floor = self._floor()
        raised = np.array([floor if reward is None else max(reward, floor) for reward in rewards])
        if self._baseline is None:
            self._baseline = float(raised.mean())
        above = raised - self._baseline
        for reward in raised.tolist():
            self._baseline = self._decay * self._baseline + (1 - self._decay) * reward
        spread = float(raised.std())
        return (above / spread).tolist() if spread > 1e-12 else [0.0] * len(rewards)

    def _floor(self) -> float:
        recent = np.array(self._recent)
        floor, lowest = robust_floor(recent), float(recent.min())
        # More than half of the rewards equal: the floor is their median, below which all would be alike.
        return max(lowest, floor) if floor < np.median(recent) else lowest

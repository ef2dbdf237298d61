"""Advantages: rewards above their moving average, in units of their batch's spread."""

from collections import deque
from collections.abc import Sequence

import numpy as np

from nas.strategies.robust_floor import robust_floor

RECENT = 100  # latest rewards, from which the floor follows


class RewardScale:
    """Scales rewards by those told before.

    Rewards below the robust floor of the recent ones count as the floor; so do infeasible trials, whose
    reward of 0 would make all others look alike.

    Args:
        decay: of the moving average, per reward.
    """

    def __init__(self, decay: float) -> None:
        self._decay = decay
        self._recent: deque[float] = deque(maxlen=RECENT)
        self._baseline: float | None = None

    def advantages(self, rewards: Sequence[float | None]) -> list[float]:
        """Advantages of a batch in order of tells; None is an infeasible trial. The batch is remembered."""
        self._recent.extend(reward for reward in rewards if reward is not None)
        if not self._recent:
            return [0.0] * len(rewards)
        # Raise failures to the floor.
        floor = self._floor()
        raised = np.array([floor if reward is None else max(reward, floor) for reward in rewards])
        if self._baseline is None:
            self._baseline = float(raised.mean())
        # All are compared with the average before this batch, which then moves on.
        above = raised - self._baseline
        for reward in raised.tolist():
            self._baseline = self._decay * self._baseline + (1 - self._decay) * reward
        spread = float(raised.std())
        return (above / spread).tolist() if spread > 1e-12 else [0.0] * len(rewards)

    def _floor(self) -> float:
        """The least reward that counts as such."""
        recent = np.array(self._recent)
        floor, lowest = robust_floor(recent), float(recent.min())
        # More than half of the rewards equal: the floor is their median, below which all would be alike.
        return max(lowest, floor) if floor < np.median(recent) else lowest

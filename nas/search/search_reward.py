"""Rewards of results and of recorded rows; a reward that cannot be computed stops the search."""

import math
from collections.abc import Mapping
from pathlib import Path

from nas.search.strategy_guard import SearchFailedError
from trials.log.row_types import TrialRow
from trials.reward import recorded_reward
from trials.trial import TrialResult


class SearchReward:
    """The reward of a search, also with terms that may fail: they may divide by zero, or be the user's own.

    Raises:
        ConfigError: this process does not know one of the terms.
    """

    def __init__(self, terms: Mapping[str, float], *, run: Path) -> None:
        self._reward = recorded_reward(terms, where=run)
        self._run = run

    def of_result(self, result: TrialResult) -> float | None:
        """The reward of a result; None if the trial crashed, or if the reward cannot be computed.

        This does not stop the search yet: first the measurements are recorded.
        """
        try:
            reward = self._reward(result)
        except Exception:  # a term of the user's own may raise anything
            return None
        return reward if reward is not None and math.isfinite(reward) else None

    def rewarded(self, row: TrialRow) -> TrialRow:
        """A recorded row with its reward, which is computed again where it is missing.

        Raises:
            SearchFailedError: it cannot be computed.
        """
        if row["reward"] is not None or row["status"] == "crashed":
            return row
        try:
            reward = self._reward.of_row(row)
            assert reward is not None, "only crashed trials have none"
            fault = "" if math.isfinite(reward) else f"it is {reward}"
        except (ArithmeticError, TypeError, ValueError) as error:
            fault = str(error)
        if fault:
            terms = ", ".join(f"{name}: {exponent:g}" for name, exponent in self._reward.terms.items())
            raise SearchFailedError(
                f"{self._run}: the reward of trial {row['trial_id']} is not a finite number (reward: "
                f"{{{terms}}}): {fault}. What was measured is recorded, and nothing is trained again; choose "
                "other terms, and another --run"
            )
        return {**row, "reward": reward}

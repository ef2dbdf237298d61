"""Rewards of results and of recorded rows; one that is no finite number stops the search."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nas.latched import SearchFailedError
from trials.reward import Reward
from trials.rows import ratio_to_reference
from trials.trial import TrialResult


class Judge:
    """A search's reward."""

    def __init__(self, terms: Mapping[str, float], *, run: Path) -> None:
        self._reward = Reward(terms)
        self._run = run

    def of_result(self, result: TrialResult) -> float | None:
        """None if the trial crashed, or if the reward is at fault: its row is to be recorded all the same."""
        return _finite(lambda: self._reward(result))

    def judged(self, row: dict[str, Any]) -> dict[str, Any]:
        """A recorded row with its reward, which is computed again where it was at fault.

        Raises:
            SearchFailedError: it still is.
        """
        if row["reward"] is not None or row["status"] == "crashed":
            return row
        reward = _finite(lambda: self._reward.of(row["accuracy"], lambda name: ratio_to_reference(row, name)))
        if reward is None:
            terms = ", ".join(f"{name}: {exponent:g}" for name, exponent in self._reward.terms.items())
            raise SearchFailedError(
                f"{self._run}: the reward of trial {row['trial_id']} is not a finite number (reward: "
                f"{{{terms}}}). What was measured is recorded, and nothing is trained again; choose other "
                "terms, and another --run"
            )
        return {**row, "reward": reward}


def _finite(reward: Callable[[], float | None]) -> float | None:
    try:
        value = reward()
    except (ArithmeticError, TypeError, ValueError, KeyError):
        return None
    return value if value is not None and math.isfinite(value) else None

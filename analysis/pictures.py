"""Labels and cut-offs of a run's pictures, in notebooks (`analysis.plots`) and in the report alike."""

import numpy as np

STRONGEST = 12  # options that move the reward most
SURE = 0.5  # share of redraws from which on a winner's cell is drawn in full colour
FEWEST_CELLS = 8  # of a region in the map of exponents that bears its winner's number
LABELS = {
    "step_time_ratio": "training step time (× reference)",
    "params": "parameters (millions)",
    "reward": "reward",
    "device_seconds": "device time (s)",
    "trials": "trials counted by the budget",
    "fused": "share of Fused-MBConv (0-1)",
    "effect": "effect on the reward",
    "step_exponent": "exponent of step time",
    "size_exponent": "exponent of parameters",
    "short": "reward of the short trial",
    "long": "reward after long training",
}


def on_minival(objective: str) -> str:
    """The label of an axis of accuracies, or of another objective, in words."""
    return f"{objective} on minival (0-1)"


def lowest_reward_shown(rewards: np.ndarray) -> float | None:
    """The lowest tenth of all rewards above 0 lies below it: it would press all others together.

    None where there are none.
    """
    positive = rewards[np.isfinite(rewards) & (rewards > 0)]
    return float(np.quantile(positive, 0.1)) if len(positive) else None

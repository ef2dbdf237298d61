"""Seeds of a search's trials, from its own seed."""

from collections.abc import Mapping

import numpy as np

from trials.log.row_types import AskRow
from trials.trial import Ask

DERIVE_AUDIT_SEED = 2  # keeps an audit's seeds apart from those of the search's trials
DERIVE_TRIAL_SEED = 1  # keeps a trial's own seed apart from the randomness of its ask


def seed_of(ask: Ask, seed: int, asks: Mapping[int, AskRow]) -> int:
    """The seed of weights, data order and augmentation of an ask's trial, from the search's seed.

    A trial that continues another is the same training, with its seed. `asks`: the recorded ones.
    """
    if ask.continues is not None and ask.continues in asks:
        return int(asks[ask.continues]["seed"])
    stream = DERIVE_AUDIT_SEED if ask.purpose == "audit" else DERIVE_TRIAL_SEED
    return seed_in_stream(seed, ask.trial_id, stream)


def seed_in_stream(seed: int, trial_id: int, stream: int) -> int:
    """A trial's seed in one of several independent streams."""
    words = np.random.SeedSequence([seed, trial_id, stream]).generate_state(1)
    return int(words[0])

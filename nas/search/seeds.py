"""Seeds of a search's trials, from its own seed."""

import numpy as np

from trials.log.store import RunStore
from trials.trial import Ask

DERIVE_AUDIT_SEED = 2  # keeps an audit's seeds apart from those of the search's trials
DERIVE_TRIAL_SEED = 1  # keeps a trial's own seed apart from the randomness of its ask


def seed_of(ask: Ask, seed: int, store: RunStore) -> int:
    """The seed of an ask's trial. A trial that continues another is the same training, with its seed."""
    if ask.continues is not None:
        return int(store.asks[ask.continues]["seed"])
    return trial_seed(seed, ask.trial_id)


def trial_seed(seed: int, trial_id: int) -> int:
    """The seed of a trial's weights, data order and augmentation, from the search's seed."""
    return seed_in_stream(seed, trial_id, DERIVE_TRIAL_SEED)


def seed_in_stream(seed: int, trial_id: int, stream: int) -> int:
    """A trial's seed in one of several independent streams."""
    words = np.random.SeedSequence([seed, trial_id, stream]).generate_state(1)
    return int(words[0])

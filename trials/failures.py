"""Classifies the exception that ended a trial: a fault of its own, by kind, or a bug, with its traceback."""

import traceback

from search_spaces.settings.sentences import first_line
from trials.devices.device import is_out_of_memory
from trials.training.train import NonFiniteLossError
from trials.trial import FailureKind


class InvalidNetworkError(ValueError):
    """The architecture cannot be built, or not for images of this size."""


class OverLimitError(ValueError):
    """A quantity that was measured before training is above the search's limit."""


class TrialTimeoutError(RuntimeError):
    """The trial has taken longer than the search allows."""


KINDS: dict[type[Exception], FailureKind] = {
    NonFiniteLossError: "non_finite_loss",
    InvalidNetworkError: "invalid_network",
    OverLimitError: "over_limit",
    TrialTimeoutError: "timeout",
}


def failure_of(error: Exception) -> tuple[FailureKind, str]:
    """The kind of a failure, and the text to record: one line, or the traceback of a bug."""
    kind = next((kind for of, kind in KINDS.items() if isinstance(error, of)), None)
    if kind is None and is_out_of_memory(error):
        kind = "out_of_memory"
    if kind is None:
        return "bug", traceback.format_exc()
    return kind, first_line(error)

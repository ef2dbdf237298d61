"""Classifies the exception that ended a trial: a fault of its own, by kind, or a bug, with its traceback."""

import traceback
from dataclasses import dataclass

import torch

from search_spaces.settings.sentences import first_line
from trials.devices.device_errors import DeviceFault, device_fault, is_out_of_memory
from trials.training.train import NonFiniteLossError
from trials.trial import FailureKind


class InvalidNetworkError(ValueError):
    """The architecture cannot be built, or not for images of this size."""


class OverLimitError(ValueError):
    """A quantity that was measured before training is above the search's limit."""


class TrialTimeoutError(RuntimeError):
    """The trial has taken longer than the search allows."""


def check_limit(name: str, measured: float | None, limit: float) -> None:
    """Raises OverLimitError if a quantity is above its limit; None: it could not be measured."""
    if measured is not None and measured > limit:
        raise OverLimitError(f"{name} is {measured:.4g}; the limit is {limit:.4g}")


KINDS: dict[type[Exception], FailureKind] = {
    NonFiniteLossError: "non_finite_loss",
    InvalidNetworkError: "invalid_network",
    OverLimitError: "over_limit",
    TrialTimeoutError: "timeout",
}


@dataclass(frozen=True)
class Failure:
    """The kind of a failure, the text to record, and the fault of the device if there is one."""

    kind: FailureKind
    text: str  # one line, or the traceback of a bug
    fault: DeviceFault | None = None


def failure_of(error: Exception, device: torch.device) -> Failure:
    """Classifies the error that ended a trial on a device. After a fault of the device its worker is lost."""
    kind = next((kind for of, kind in KINDS.items() if isinstance(error, of)), None)
    if fault := device_fault(error, device):
        return Failure("worker_lost", fault.reason, fault)
    if kind is None and is_out_of_memory(error):
        kind = "out_of_memory"
    if kind is None:
        return Failure("bug", traceback.format_exc())
    return Failure(kind, first_line(error))

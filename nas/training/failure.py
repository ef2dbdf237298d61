"""Failures of a full training that a user can do something about, in words that say what."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from search_spaces.settings.sentences import first_line
from trials.devices.device_errors import (
    WITHOUT_GRAPHS,
    CaptureFailedError,
    is_out_of_memory,
    names_device_fault,
)
from trials.log.disk_wait import FULL, LogNotWrittenError
from trials.log.object_store import StoreError
from trials.log.run_places import place_of
from trials.recipe import Recipe


class TrainingFailedError(RuntimeError):
    """A training cannot be done as it is configured: it diverged, or does not fit into memory."""


def divergence_of(error: Exception) -> str | None:
    """Sentence that says how the training diverged that this error ended; None where it ended otherwise."""
    from trials.training.train import NonFiniteLossError  # as below

    cause = error.__cause__ if isinstance(error, TrainingFailedError) else error
    return first_line(cause) if isinstance(cause, NonFiniteLossError) else None


@contextmanager
def failures_explained(recipe: Recipe, folder: Path, *, how_it_goes_on: Callable[[], str]) -> Iterator[None]:
    """Turns failures of the training in this block into errors that say what to do; others pass as they are.

    Raises:
        TrainingFailedError: its loss is not finite, the memory is full, or the device has failed.
        LogNotWrittenError: the disk is full, or the object store does not answer.
    """
    # Not above: the command line names these errors without torch.
    from trials.training.train import NonFiniteLossError

    another = "and choose another --run: a training goes on only as it was begun"
    try:
        yield
    except NonFiniteLossError as error:
        raise TrainingFailedError(
            f"{place_of(folder)}: the training diverged: {error}. Lower recipe.learning_rate "
            f"({recipe.learning_rate:g} now), {another}"
        ) from error
    except CaptureFailedError as error:
        raise TrainingFailedError(
            f"{place_of(folder)}: {error}. Without CUDA graphs, more slowly, this goes on:  "
            f"{WITHOUT_GRAPHS} {how_it_goes_on()}"
        ) from error
    except Exception as error:
        away = isinstance(error, StoreError)
        if isinstance(error, OSError) and (away or error.errno in FULL):
            mend = "once it answers" if away else "make room, and"
            raise LogNotWrittenError(
                f"{place_of(folder)}: {error.strerror}. What was saved, every few minutes, is kept; {mend} "
                f"this goes on:  {how_it_goes_on()}"
            ) from error
        if names_device_fault(str(error)):
            raise TrainingFailedError(
                f"{place_of(folder)}: the device has failed: {first_line(error)}. dmesg may say why. "
                f"Epochs whose lines were shown are kept, and this goes on:  {how_it_goes_on()}"
            ) from error
        if not is_out_of_memory(error):
            raise
        reason = first_line(error)
        raise TrainingFailedError(
            f"{place_of(folder)}: out of memory ({reason}). Take a smaller recipe.batch_size "
            f"({recipe.batch_size} now) or recipe.resolution, {another}"
        ) from error

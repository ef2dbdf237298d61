"""State and best weights of a full training: kept in the host's memory, written every few minutes."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from torch import Tensor

from nas.events import EpochMetrics
from nas.training.checkpoints import TrainingFolder, TrainingProgress
from trials.log.log_end import FencedError
from trials.training.weights_file import save_tensors

Weights = tuple[dict[str, Tensor], dict[str, Any]]  # a weights file's tensors and facts
SECONDS_BETWEEN_STATES = 300.0  # at least; of a training with shorter epochs, a kill costs at most so much


class StateSaver:
    """Writes a training's newest state when it is due, when the training ends, and when something ends it.

    A state is that after an epoch, with the best weights until then: what is on disk is of one moment. So a
    training that is killed goes on from what was written last, and its curve is that of one that was not.
    """

    def __init__(self, files: TrainingFolder, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._files, self._clock = files, clock
        self._written_at = clock()
        self._state: tuple[dict[str, Tensor], TrainingProgress, tuple[EpochMetrics, ...]] | None = None
        self._weights: dict[str, Weights] = {}

    def keep(
        self, tensors: dict[str, Tensor], progress: TrainingProgress, weights: Mapping[str, Weights]
    ) -> None:
        """Takes the state after an epoch, whose metrics are the folder's last, all of it or nothing.

        Args:
            weights: the `best` or the `last` ones if this epoch has them; on the host.
        """
        on_host = {name: tensor.cpu() for name, tensor in tensors.items()}
        state = on_host, progress, tuple(self._files.metrics)
        self._state, self._weights = state, {**self._weights, **weights}

    def write_if_due(self, *, is_last: bool) -> None:
        """Writes what is kept after the last epoch, or if the last time was long enough ago.

        Raises:
            FencedError: a newer driver has begun on the training; nothing is written.
            OSError: it cannot be written.
        """
        if is_last or self._clock() - self._written_at >= SECONDS_BETWEEN_STATES:
            self.write()

    def write(self) -> None:
        """Writes what is kept and not yet written: weights first, for a state says that they are there.

        Raises:
            FencedError, OSError: as `write_if_due`.
        """
        if self._state is None:
            return
        self._files.fence.check()
        for name, (tensors, facts) in self._weights.items():
            save_tensors(self._files.weights(name), tensors, facts, files=self._files.files)
        tensors, progress, metrics = self._state
        self._files.save_state(tensors, progress, metrics)
        self._state, self._weights, self._written_at = None, {}, self._clock()

    @contextmanager
    def written_at_the_end(self) -> Iterator[None]:
        """Writes what is kept when the block is interrupted or fails, too, unless it cannot be written."""
        try:
            yield
        except FencedError:
            raise  # nothing must be written any more
        except BaseException:  # also of files and connections, which may be others than the training's own
            with suppress(OSError, FencedError):
                self.write()
            raise

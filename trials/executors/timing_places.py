"""Where step time is measured, if only some of the workers' devices are of the model on which it counts."""

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import replace

from trials.trial import TimingPart, Trial

ANY = "*"  # instead of a model: step times are predicted, or of no account


class WrongDeviceError(RuntimeError):
    """Step times of these workers' devices would not count, or not all in one ranking."""


class TimingPlaces:
    """Gives each free worker something to run: a whole trial, its timing part, or what is left after that.

    Workers on the model where step time counts run whole trials, and between them the timing parts of trials
    that train elsewhere, ahead of need: one waits for each of the other workers. Trials whose step time is
    given, or predicted, run anywhere.
    """

    def __init__(self, trials: Iterable[Trial | None], counts: str | None) -> None:
        """`counts`: the model where step time counts; None: the workers' own, which must be one; ANY: any."""
        self._trials: Iterator[Trial | None] = iter(trials)
        self._counts = counts
        self._may_train_elsewhere = counts is not None
        self._elsewhere: set[int] = set()
        self._untimed: deque[Trial] = deque()
        self._timed: deque[Trial] = deque()
        self._in_timing = 0
        self._exhausted = False

    def join(self, worker: int, device_name: str | None) -> str | None:
        """A worker on that model (None: it does not tell) will ask for trials; or why it must not."""
        if self._counts == ANY or device_name is None:
            return None
        if self._counts is None:
            self._counts = device_name
        self._elsewhere.discard(worker)
        if device_name == self._counts:
            return None
        if not self._may_train_elsewhere:
            return (
                f"its device is a {device_name}, and step time is measured on {self._counts}; "
                "timing.device says where it counts"
            )
        self._elsewhere.add(worker)
        return None

    def leave(self, worker: int) -> None:
        """A worker asks for no more trials."""
        self._elsewhere.discard(worker)

    @property
    def are_alike(self) -> bool:
        """Whether it is the same which worker asks."""
        return not self._elsewhere

    @property
    def is_done(self) -> bool:
        """Whether there are no more trials, and none waits for a worker."""
        return self._exhausted and not self._untimed and not self._timed

    def next_for(self, worker: int) -> Trial | None:
        """What a free worker is to run; None while there is nothing for it."""
        return self._elsewhere_next() if worker in self._elsewhere else self._timing_next()

    def _elsewhere_next(self) -> Trial | None:
        while not self._timed:
            if self._ahead >= len(self._elsewhere):
                return None
            trial = self._draw()
            if trial is None:
                return None
            if not _needs_timing(trial):
                return trial
            self._untimed.append(trial)
        return self._timed.popleft()

    def _timing_next(self) -> Trial | None:
        if self._timed and not self._elsewhere:  # for which they were timed are gone
            return self._timed.popleft()
        if not self._untimed and self._ahead >= len(self._elsewhere):
            return self._draw()
        trial = self._untimed.popleft() if self._untimed else self._draw()
        if trial is None or not _needs_timing(trial):
            return trial
        self._in_timing += 1
        return replace(trial, is_timing_part=True)

    def timed(self, part: TimingPart) -> None:
        """A timing part is done: the rest of its trial waits for one of the other workers."""
        self._in_timing -= 1
        self._timed.append(part.rest)

    def ended(self, trial: Trial) -> None:
        """What was running has ended without a rest to run."""
        self._in_timing -= trial.is_timing_part

    @property
    def _ahead(self) -> int:
        """Trials that were drawn for the other workers and do not train yet."""
        return len(self._untimed) + len(self._timed) + self._in_timing

    def _draw(self) -> Trial | None:
        if self._exhausted:
            return None
        try:
            return next(self._trials)
        except StopIteration:
            self._exhausted = True
            return None


def _needs_timing(trial: Trial) -> bool:
    return trial.step_time is None or (trial.needs_inference_time and trial.inference_time is None)


def check_devices(names: Iterable[str | None], counts: str | None) -> None:
    """Refuses workers whose step times would not count, or not all in one ranking.

    Raises:
        WrongDeviceError: no device is of the model `counts`; or that is None and there are several models.
    """
    if counts == ANY:
        return
    found = Counter(name for name in names if name is not None)
    known = ", ".join(f"{number} x {name}" for name, number in sorted(found.items()))
    if counts is None and len(found) > 1:
        raise WrongDeviceError(
            f"the workers' devices are of several models: {known}. Step time on one of them says little "
            "about another: say where it counts with --set 'timing.device=MODEL' (trials train on all of "
            "them), or give workers of one model"
        )
    if counts is not None and found and counts not in found:
        raise WrongDeviceError(
            f"step time counts on '{counts}', and no worker's device is one (there are {known}). Search "
            "where there is one, join a Ray cluster that has one with --ray-address, or predict: step_time: "
            "predicted, with a step_time_table that nas measure --table made on such a device"
        )

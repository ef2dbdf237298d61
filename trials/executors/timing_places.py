"""Distributes trials to workers when step time counts only on some workers' model of device."""

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from trials.trial import TimingPart, Trial, WorkerInfo

ANY = "*"  # instead of a model: step times are predicted or not used, so trials run on any device


class WrongDeviceError(RuntimeError):
    """No worker's device is of the model on which step time counts, or devices are of several models."""


class TimingPlaces:
    """Gives each free worker a whole trial, the timing part of a trial, or the rest of a trial to run.

    Timing workers, on the model where step time counts, run whole trials. In between they run the timing
    parts of trials that other workers will train, in advance: one trial for each of the other workers. Trials
    whose step time is known or predicted run on any worker.
    """

    def __init__(self, trials: Iterable[Trial | None], model: str | None) -> None:
        """`model`: where step time counts; None: the workers' own, which must be equal; ANY: any model."""
        self._trials: Iterator[Trial | None] = iter(trials)
        self._model = model
        self._others_may_train = model is not None
        self._others: set[int] = set()  # workers on other models
        self._precision: str | None = None  # of the workers' GPUs, where `auto` decides
        # Steps of a trial for one of the others: it waits to be timed, is timed, and waits to be trained.
        self._to_time: deque[Trial] = deque()
        self._timing_now = 0
        self._to_train: deque[Trial] = deque()
        self._exhausted = False

    def join(self, worker: int, device_name: str | None, precision: str | None = None) -> str | None:
        """Registers a worker; returns the reason if it must not be given trials, else None.

        `device_name` is the model of its device, `precision` that in which a GPU trains; None if it does not
        say.
        """
        if precision is not None and precision != (self._precision or precision):
            return (
                f"its device, a {device_name}, trains in {precision}, and the other workers in "
                f"{self._precision}: recipe.precision says one for all"
            )
        self._precision = self._precision or precision
        if self._model == ANY or device_name is None:
            return None
        if self._model is None:
            self._model = device_name
        self._others.discard(worker)
        if device_name == self._model:
            return None
        if not self._others_may_train:
            return (
                f"its device is a {device_name}, and step time is measured on {self._model}; "
                "timing.device says where it counts"
            )
        self._others.add(worker)
        return None

    def leave(self, worker: int) -> None:
        """Removes a worker, which will ask for no more trials."""
        self._others.discard(worker)

    @property
    def are_alike(self) -> bool:
        """True if all workers get the same trials, because none is on another model."""
        return not self._others

    @property
    def is_done(self) -> bool:
        """True if there are no more trials, and none waits for a worker."""
        return self._exhausted and not self._to_time and not self._to_train

    def next_for(self, worker: int) -> Trial | None:
        """The trial, or part of one, that a free worker is to run; None while there is none for it."""
        return self._next_for_others() if worker in self._others else self._next_for_timing()

    def _next_for_others(self) -> Trial | None:
        """A timed trial; while there is none, draws trials to be timed, or one that needs no timing."""
        while not self._to_train:
            if self._drawn_for_others >= len(self._others):
                return None
            trial = self._draw()
            if trial is None:
                return None
            if not trial.needs_timing:
                return trial
            self._to_time.append(trial)
        return self._to_train.popleft()

    def _next_for_timing(self) -> Trial | None:
        """The next trial of a worker on the timing model."""
        # The workers that timed trials were meant for are gone.
        if self._to_train and not self._others:
            return self._to_train.popleft()
        if not self._to_time and self._drawn_for_others >= len(self._others):
            return self._draw()  # enough trials are under way for the others: a whole trial
        # Time one more trial for the others.
        trial = self._to_time.popleft() if self._to_time else self._draw()
        if trial is None or not trial.needs_timing:
            return trial
        self._timing_now += 1
        return replace(trial, is_timing_part=True)

    def timed(self, part: TimingPart) -> None:
        """Records that a timing part is done; the rest of its trial waits for one of the other workers."""
        self._timing_now -= 1
        self._to_train.append(part.rest)

    def ended(self, trial: Trial) -> None:
        """Records that a trial has ended; after a timing part, that nothing is left to train."""
        self._timing_now -= trial.is_timing_part

    @property
    def _drawn_for_others(self) -> int:
        """The number of trials that were drawn for the other workers and do not train yet."""
        return len(self._to_time) + len(self._to_train) + self._timing_now

    def _draw(self) -> Trial | None:
        if self._exhausted:
            return None
        try:
            return next(self._trials)
        except StopIteration:
            self._exhausted = True
            return None


def check_devices(names: Iterable[str | None], model: str | None) -> None:
    """Checks that workers' step times can be measured and compared.

    Raises:
        WrongDeviceError: no device is of the model `model`; or that is None and the devices are of several.
    """
    if model == ANY:
        return
    found = Counter(name for name in names if name is not None)
    known = _numbered(found)
    if model is None and len(found) > 1:
        raise WrongDeviceError(
            f"the workers' devices are of several models: {known}. Step time on one of them says little "
            "about another: say where it counts with --set 'timing.device=MODEL' (trials train on all of "
            "them), or give workers of one model"
        )
    if model is not None and found and model not in found:
        raise WrongDeviceError(
            f"step time counts on '{model}', and no worker's device is one (there are {known}). Search "
            "where there is one, join a Ray cluster that has one with --ray-address, or predict: step_time: "
            "predicted, with a step_time_table that nas measure --table made on such a device"
        )


def compared(workers: Sequence[WorkerInfo], model: str | None) -> str | None:
    """Compares workers' devices; a sentence where they are of several models, None where they are of one.

    Args:
        model: where step time counts, as for `TimingPlaces`.

    Raises:
        WrongDeviceError: their step times, or accuracies, could not be compared.
    """
    check_devices([info.device_name for info in workers], model)
    # Step 1: all GPUs train in one precision, though the recipe's `auto` lets each of them decide.
    found = Counter((info.precision, info.device_name) for info in workers if info.precision is not None)
    if len({precision for precision, _ in found}) > 1:
        known = ", ".join(f"{precision} on {number} x {name}" for (precision, name), number in found.items())
        raise WrongDeviceError(
            f"trials would train in several precisions: {known}. Say one that all of them have, with --set "
            "recipe.precision=fp16 or fp32, or give workers of one model"
        )
    # Step 2: several models are said.
    models = Counter(info.device_name for info in workers if info.device_name is not None)
    if len(models) < 2:
        return None
    times = "step times are predicted" if model == ANY else f"step time is measured on {model} alone"
    return f"workers are on several models: {_numbered(models)}; {times}"


def _numbered(models: Mapping[str, int]) -> str:
    return ", ".join(f"{number} x {name}" for name, number in sorted(models.items()))

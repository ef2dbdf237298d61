"""The training step of a family's members, measured here in turn with the base's."""

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from nas.measuring.conditions import Conditions, NamedNetwork, conditions_for
from nas.measuring.measure import MAX_SECONDS
from nas.scaling.compound import Member
from nas.scaling.steps import Step
from search_spaces.settings.config_error import ConfigError
from trials.devices.device import keep_freed_memory, lock_of
from trials.devices.device_errors import is_out_of_memory
from trials.devices.memory_bound import bounded_on
from trials.devices.sharing import training
from trials.devices.threads import using_threads
from trials.measurement import StepTime
from trials.timing.step_time import TimedStep, measure_step_time

T = TypeVar("T")
OnStatus = Callable[[str], object]


class StepTimer:
    """Measures a member at its own training resolution against the base at the base's.

    Both take batches of the same number of images. The base stays on the device; a member is built for its
    measurement and forgotten after it.
    """

    def __init__(
        self, base: Member, *, batch_size: int | None, on_status: OnStatus = lambda text: None
    ) -> None:
        network = NamedNetwork(base.name, base.architecture)
        self.base = base
        self.on_status = on_status
        self.conditions = conditions_for(
            [network],
            num_classes=base.num_classes,
            resolution=base.training_resolution,
            batch_size=batch_size,
            precision=None,
        )
        if self.conditions.device.type == "cpu":
            keep_freed_memory()
        steps = self.conditions.steps
        self.batch = steps.batch()
        self.step = _or_too_large(base, self.conditions, lambda: steps.step(base.architecture))
        self.base_step = TimedStep(self.step, self.batch)

    def __call__(self, member: Member) -> Step:
        """Seconds of a step, and its ratio to the base's.

        Raises:
            ConfigError: the step does not fit into memory.
        """
        self.on_status(f"{member.name}: training step at {member.training_resolution} px")
        conditions = replace(self.conditions, resolution=member.training_resolution)
        time = _or_too_large(member, conditions, lambda: self._measure(member, conditions))
        spread = time.step_time_ratio_spread if time.rounds > 1 else None
        return Step(time.step_seconds, time.step_time_ratio, spread, time.flag)

    def _measure(self, member: Member, conditions: Conditions) -> StepTime:
        alone = member is self.base
        step = self.step if alone else conditions.steps.step(member.architecture)
        batch = self.batch if alone else conditions.steps.batch()
        lock = lock_of(conditions.device)
        with using_threads(conditions.threads):
            with training(lock, self._say_waiting):
                own = TimedStep(step, batch).prepare()
                reference = None if alone else self.base_step.prepare()
            with lock.timing(self._say_waiting):
                return measure_step_time(own, reference, batch, max_seconds=MAX_SECONDS)

    def _say_waiting(self, seconds: float) -> None:
        self.on_status(f"waiting for the device, {seconds:.0f} s")


def _or_too_large(member: Member, conditions: Conditions, work: Callable[[], T]) -> T:
    try:
        with bounded_on(conditions.device):
            return work()
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise ConfigError(
            f"{member.name}: a step of {conditions.batch_size} images of {conditions.resolution} px does not "
            "fit into the memory here; use a smaller --batch-size"
        ) from error

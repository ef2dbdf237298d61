"""The trial of an ask: what a worker needs to know of it, as plain data."""

from analysis.trial_rules import RETRAINED
from nas.search.config import SearchConfig
from nas.search.predicted_step_time import Prediction
from nas.search.search_loop import RunRecord
from nas.search.trial_queue import STOP_BELOW
from trials.devices.device import this_device
from trials.log.rows import step_time_from_row
from trials.log.store import RunStore
from trials.measurement import INFERENCE, StepTime
from trials.trial import Ask, StopBelow, Trial


class TrialBuilder:
    """Builds trials of one search. Step times that are known already are not measured again."""

    def __init__(
        self, config: SearchConfig, store: RunStore, record: RunRecord, *, predicted: Prediction | None
    ) -> None:
        self._config, self._store, self._record = config, store, record
        self._predicted = predicted

    def __call__(self, ask: Ask, attempt: int) -> Trial:
        """The trial of a recorded ask."""
        config = self._config
        architecture = config.space.decode(ask.choices)
        # Finalists are measured, also where the search predicts, unless it is for another device.
        measures = ask.purpose in RETRAINED and self._all_on_timing_device()
        step_time = self._predicted.step_time(architecture) if self._predicted and not measures else None
        return Trial(
            trial_id=ask.trial_id,
            choices=ask.choices,
            architecture=architecture,
            recipe=config.recipe,
            epochs=ask.epochs,
            seed=self._store.asks[ask.trial_id]["seed"],
            attempt=attempt,
            continues=ask.continues,
            epochs_before=0 if ask.continues is None else self._store.asks[ask.continues]["epochs"],
            timing=config.timing,
            step_time=step_time or self._step_time_before(ask),
            needs_inference_time=needs_inference_time(config),
            limits=config.space.limits.measured(),
            stop_below=self._stop_below(ask),
            objective=config.objective,
            timeout_seconds=self._timeout(ask),
        )

    def _all_on_timing_device(self) -> bool:
        """True if every worker is on the model of device on which step time counts.

        Where the search does not name one it is the workers' own, which the driver need not have.
        """
        counts, workers = self._config.timing.device, self._record.workers
        models = {worker.info.device_name for worker in workers} - {None}
        if counts is None:
            return len(models) <= 1
        return models <= {counts} and (bool(workers) or counts == this_device())

    def _step_time_before(self, ask: Ask) -> StepTime | None:
        """The step time of the trial that this one continues, if it is certain: their steps are the same."""
        row = None if ask.continues is None else self._store.trials.get(ask.continues)
        return None if row is None or row["timing_flag"] else step_time_from_row(row)

    def _timeout(self, ask: Ask) -> float | None:
        """Seconds after which the trial is infeasible; a longer training has as many times more."""
        limit, usual = self._config.trial_timeout, self._config.recipe.epochs
        return None if limit is None else limit * max(ask.epochs / usual, 1.0)

    def _stop_below(self, ask: Ask) -> StopBelow | None:
        stopping, reward = self._config.bound_stopping, ask.aux.get(STOP_BELOW)
        if stopping is None or reward is None:
            return None
        return StopBelow(reward=reward, max_accuracy=stopping.max_accuracy, terms=self._config.reward)


def needs_inference_time(config: SearchConfig) -> bool:
    """True if trials measure inference time: for a term of the reward, or for a limit."""
    return INFERENCE in config.reward or any(
        name.startswith("inference") for name in config.space.limits.measured()
    )

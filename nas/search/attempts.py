"""The rule by which a trial whose worker is lost runs again."""

from collections import Counter

from trials.trial import TrialResult

MAX_ATTEMPTS = 3  # at a trial whose worker is lost, without progress in between


class Attempts:
    """Counts the workers that each trial has lost.

    A lost worker is not the trial's fault, unless it happens again and again; preemption never is. With
    checkpoints (`keeps_progress`) a trial that has got further has lost nothing: its losses count anew.
    """

    def __init__(self, *, keeps_progress: bool = False) -> None:
        self._keeps_progress = keeps_progress
        self._losses: Counter[int] = Counter()  # by trial
        self._reached: Counter[int] = Counter()  # epochs, by trial
        self._without_graphs: set[int] = set()

    def epoch_ended(self, trial_id: int, epoch: int) -> None:
        """Notes that a trial has reached this epoch (from 1)."""
        if self._keeps_progress and epoch > self._reached[trial_id]:
            self._reached[trial_id] = epoch
            self._losses[trial_id] = 0

    def may_run_again(self, result: TrialResult) -> bool:
        """True if a trial that ended so is to run once more."""
        if result.capture_failed:
            self._without_graphs.add(result.trial_id)
        if result.failure_kind == "worker_lost":
            self._losses[result.trial_id] += 1
            return self._losses[result.trial_id] < MAX_ATTEMPTS
        return result.failure_kind == "preempted"

    def uses_graphs(self, trial_id: int) -> bool:
        """False if an earlier attempt at the trial found that its work cannot be captured as CUDA graphs."""
        return trial_id not in self._without_graphs

"""The loop of a search: carries out what its queue of trials decides, writes it down, and tells the queue."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime

from nas.events import Retried, SearchEvent
from nas.search.attempts import Attempts
from nas.search.config import SearchConfig
from nas.search.crash_limit import CrashLimit
from nas.search.instructions import AnswerByCrash, AnswerFrom, Instruction, Queue, RecordAsk, Run
from nas.search.kept_checkpoints import KeptCheckpoints
from nas.search.search_reward import SearchReward
from nas.search.seeds import seed_of
from nas.search.stopping import StopRequest
from nas.search.strategy_guard import SearchFailedError
from search_spaces.settings.seal import sealed_json
from trials.log.row_types import TrialRow
from trials.log.rows import ask_row, cached_row, device_seconds, outcome_of, trial_row
from trials.log.store import RunStore
from trials.trial import Ask, EpochResult, Event, Notice, Trial, TrialResult, WorkerJoined


class SearchLoop:
    """Records, dispatches and tells; an executor takes `trials`, and its events go to `handle`.

    Everything is durable before anything follows from it: an ask before its trial is dispatched, a row before
    the queue, and by it the strategy, is told.

    Args:
        build: the trial of an ask at that attempt.
        trained: what the trials are called in messages.
    """

    def __init__(
        self,
        queue: Queue,
        record: "RunRecord",
        build: Callable[[Ask, int], Trial],
        *,
        checkpoints: KeptCheckpoints,
        on_event: Callable[[SearchEvent], None],
        stop: StopRequest,
        trained: str = "trials",
    ) -> None:
        self.queue, self.record, self.checkpoints = queue, record, checkpoints
        self._build = build
        self._attempts = Attempts(keeps_progress=checkpoints.are_there)
        self._crash_limit = CrashLimit(of=trained)
        self._on_event = on_event
        self._stop = stop
        self._running: set[tuple[int, int]] = set()  # trials that an executor has, with their attempts
        self._stop.in_flight = 0

    def trials(self) -> Iterator[Trial | None]:
        """Trials to run, as long as the queue wants more; None while only waiting helps."""
        self._stop.listen()
        instructions = self.queue.instructions()
        while not self._stop.is_made:
            instruction = next(instructions, None)
            if instruction is None:
                return
            if isinstance(instruction, (RecordAsk, AnswerFrom, AnswerByCrash)):
                self._write_down(instruction)
                continue
            if isinstance(instruction, Run):
                trial = self._build(instruction.ask, instruction.attempt)
                trial = replace(trial, cuda_graphs=self._attempts.uses_graphs(trial.trial_id))
                self.checkpoints.begun(trial)
                self._running.add((trial.trial_id, trial.attempt))
                self._stop.in_flight = len(self._running)
                yield trial
            else:
                yield None

    def _write_down(self, instruction: Instruction) -> None:
        match instruction:
            case RecordAsk(ask):
                self.record.ask(ask)
            case AnswerFrom(ask, earlier):
                self.record.answered(ask, earlier)
            case AnswerByCrash(ask, equal):
                self.record.answered_by_crash(ask, equal)

    def handle(self, event: Event) -> None:
        """Handles one event of a trial. Those of an attempt that is no longer the current one are ignored."""
        if isinstance(event, (WorkerJoined, Notice)):
            if isinstance(event, WorkerJoined):
                self.record.worker_joined(event)
            self._on_event(event)
            return
        if event.attempt == self.queue.attempt_of(event.trial_id):
            if isinstance(event, EpochResult):
                self.record.epoch(event)
                self._attempts.epoch_ended(event.trial_id, event.epoch)
            if not isinstance(event, TrialResult):
                self._on_event(event)
            elif self._attempts.may_run_again(event):
                attempt = self.queue.run_again(event.trial_id)
                self._on_event(Retried(replace(event.trial, attempt=attempt)))
            else:
                # It has ended: its row is written, and then told.
                row = self.record.result(event)
                self.queue.ended(event.trial_id, outcome_of(row), seconds=device_seconds(row))
                self._after_end(event)
            self.record.refresh_views()
        if isinstance(event, TrialResult):  # its row is written
            self._running.discard((event.trial_id, event.attempt))
            self._stop.in_flight = len(self._running)

    def _after_end(self, result: TrialResult) -> None:
        """Writes down what a trial's end answers, and removes checkpoints that are of no use any more."""
        for answer in self.queue.due():
            self._write_down(answer)
        self.checkpoints.prune(lambda trial_id: self.queue.attempt_of(trial_id) is not None)
        # Crashes are counted last: the row that stops the search is recorded and told.
        if too_often := self._crash_limit.ended(result):
            which = f"trial {result.trial_id}{self.record.place}"
            raise SearchFailedError(f"{too_often}; the last one ({which}) said:\n{result.error}")


class RunRecord:
    """The record of a search: writes asks, rows and workers into a run directory.

    Args:
        environment_id: of this driver, for the rows.
        workers_file: where it lists its workers.
        on_row: gets each row once it is durable.
        place: how messages name this run where it is not the user's own (" of FOLDER").
    """

    def __init__(
        self,
        config: SearchConfig,
        store: RunStore,
        *,
        environment_id: str,
        workers_file: str,
        on_row: Callable[[TrialRow], None],
        place: str = "",
    ) -> None:
        self.place = place
        self.workers: list[WorkerJoined] = []
        self.reward = SearchReward(config.reward, run=store.folder)
        self._config, self._store = config, store
        self._environment_id, self._workers_file = environment_id, workers_file
        self._on_row = on_row

    def ask(self, ask: Ask) -> None:
        """Records a new ask."""
        row = ask_row(
            ask,
            architecture=self._config.space.decode(ask.choices),
            strategy=self._config.strategy.name,
            seed=seed_of(ask, self._config.seed, self._store.asks),
            asked_at=datetime.now(UTC),
        )
        self._store.record_ask(row)

    def answered(self, ask: Ask, earlier: int) -> None:
        """Records the row of an ask that an earlier trial answers."""
        row = cached_row(self._store.asks[ask.trial_id], self._store.trials[earlier])
        self._on_row(self._store.record_trial(row))

    def answered_by_crash(self, ask: Ask, equal: int) -> None:
        """Records the row of an ask that has waited for an equal trial, which crashed for good."""
        row: TrialRow = {**self._store.trials[equal], **self._store.asks[ask.trial_id]}
        self._on_row(self._store.record_trial(row))

    def result(self, result: TrialResult) -> TrialRow:
        """Records the row of a trial that has ended, with its reward.

        Raises:
            SearchFailedError: the reward is at fault. What was measured is recorded all the same.
        """
        row = trial_row(
            self._store.asks[result.trial_id],
            result,
            reward=self.reward.of_result(result),
            environment_id=self._environment_id,
        )
        recorded = self._store.record_trial(row)
        self._on_row(recorded)
        return self.reward.rewarded(recorded)

    def epoch(self, result: EpochResult) -> None:
        """Records an epoch of a trial in flight; durable with the trial's row."""
        self._store.record_epoch(result)

    def worker_joined(self, event: WorkerJoined) -> None:
        """Lists the worker, its place and its versions beside the driver's environment."""
        self.workers.append(event)
        listed = [{"slot": worker.slot, **asdict(worker.info)} for worker in self.workers]
        self._store.write_text(self._workers_file, sealed_json({"workers": listed}))

    def refresh_views(self) -> None:
        """Brings trials.parquet and epochs.parquet up to date, now and then."""
        self._store.refresh_views()

"""Asks, epochs and rows of a run, written down before anything follows from them."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from nas.search.config import SearchConfig
from nas.search.search_reward import SearchReward
from trials.log.rows import ask_row, cached_row, trial_row
from trials.log.store import RunStore
from trials.trial import Ask, EpochResult, TrialResult, WorkerJoined


class RunRecord:
    """Writes into a run directory.

    Args:
        environment_id: of this driver, for the rows.
        workers_file: where it lists its workers.
        seed_of: the seed of a new ask's trial.
        on_row: told of each row once it is durable.
        place: how messages name this run where it is not the user's own (" of FOLDER").
    """

    def __init__(
        self,
        config: SearchConfig,
        store: RunStore,
        *,
        environment_id: str,
        workers_file: str,
        seed_of: Callable[[Ask], int],
        on_row: Callable[[dict[str, Any]], None],
        place: str = "",
    ) -> None:
        self.place = place
        self.workers: list[dict[str, Any]] = []
        self.reward = SearchReward(config.reward, run=store.folder)
        self._config, self._store = config, store
        self._environment_id, self._workers_file = environment_id, workers_file
        self._seed_of, self._on_row = seed_of, on_row

    def ask(self, ask: Ask) -> None:
        """A new ask."""
        row = ask_row(
            ask,
            architecture=self._config.space.decode(ask.choices),
            strategy=self._config.strategy.name,
            seed=self._seed_of(ask),
            asked_at=datetime.now(UTC),
        )
        self._store.record_ask(row)

    def answered(self, ask: Ask, earlier: int) -> None:
        """The row of an ask that an earlier trial answers."""
        self._write(cached_row(self._store.asks[ask.trial_id], self._store.trials[earlier]))

    def crashed(self, ask: Ask, equal: int) -> None:
        """The row of an ask that has waited for an equal trial, which crashed for good."""
        self._write({**self._store.trials[equal], **self._store.asks[ask.trial_id]})

    def result(self, result: TrialResult) -> dict[str, Any]:
        """The row of a trial that has ended, with its reward.

        Raises:
            SearchFailedError: the reward is at fault. What was measured is recorded all the same.
        """
        row = trial_row(
            self._store.asks[result.trial_id],
            result,
            reward=self.reward.of_result(result),
            environment_id=self._environment_id,
        )
        return self.reward.rewarded(self._write(row))

    def _write(self, row: Mapping[str, Any]) -> dict[str, Any]:
        written = self._store.record_trial(row)
        self._on_row(written)
        return written

    def epoch(self, result: EpochResult) -> None:
        """An epoch of a trial in flight; durable with the trial's row."""
        self._store.record_epoch(result)

    def worker_joined(self, event: WorkerJoined) -> None:
        """Who works where, and with what, stands beside the driver's environment."""
        self.workers.append({"slot": event.slot, **vars(event.info)})
        self._store.write_text(self._workers_file, json.dumps(self.workers, indent=1) + "\n")

    def refresh_views(self) -> None:
        """Brings trials.parquet and epochs.parquet up to date, now and then."""
        self._store.refresh_views()

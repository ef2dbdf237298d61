"""The best architecture of a run so far, in best.yaml whenever it changes; and the winner in the end."""

from collections.abc import Mapping
from typing import Any

from analysis.rungs import may_win, standing
from analysis.winner import best_trial_of, winner
from nas.search.best_file import best_yaml
from nas.search.trial_queue import TrialQueue
from trials.log.store import RunStore


class BestSoFar:
    """Compares rows as they come.

    Attributes:
        row: the best one; None before the first that may win.
    """

    def __init__(self, store: RunStore) -> None:
        self.row: Mapping[str, Any] | None = None
        self._store = store

    def compare(self, row: Mapping[str, Any]) -> bool:
        """Whether this row is the best so far, which it then is."""
        if not may_win(row) or (self.row is not None and standing(row) <= standing(self.row)):
            return False
        self.row = row
        return True

    def write_if_best(self, row: Mapping[str, Any]) -> None:
        """Compares a new row, and writes best.yaml if it is the best."""
        if self.compare(row):
            self._store.write_text("best.yaml", best_yaml(row, run=self._store.folder))

    def choose_winner(self, queue: TrialQueue) -> None:
        """The winner of a search that has ended; best.yaml names it for whoever reads the run."""
        rows = self._store.trials.values()
        recommended = [best_trial_of(choices, rows) for choices in queue.recommended(1)]
        chosen = winner(rows, recommended=next(iter(recommended), None))
        if chosen is not None:
            self.row = self._store.trials[chosen.trial_id]
            text = best_yaml(self.row, run=self._store.folder, repeats=chosen.repeats)
            self._store.write_text("best.yaml", text)

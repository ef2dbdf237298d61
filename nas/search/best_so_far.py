"""The best architecture of a run so far, in best.yaml whenever it changes; and the winner in the end."""

from analysis.finalists import finalists
from analysis.rungs import may_win, standing
from nas.search.best_file import best_yaml
from nas.search.trial_queue import TrialQueue
from trials.log.row_types import TrialRow
from trials.log.store import RunStore


class BestSoFar:
    """Compares rows as they come.

    Attributes:
        row: the best one; None before the first that may win.
    """

    def __init__(self, store: RunStore) -> None:
        self.row: TrialRow | None = None
        self._store = store

    def compare(self, row: TrialRow) -> bool:
        """Whether this row is the best so far, which it then is."""
        if not may_win(row) or (self.row is not None and standing(row) <= standing(self.row)):
            return False
        self.row = row
        return True

    def write_if_best(self, row: TrialRow) -> None:
        """Compares a new row, and writes best.yaml if it is the best."""
        if self.compare(row):
            self._store.write_text("best.yaml", best_yaml(row, run=self._store.folder))

    def choose_winner(self, queue: TrialQueue) -> None:
        """Of repeated finalists the winner is the one with the highest mean, and best.yaml says so.

        Without repeats it is what the strategy recommends, if it does; else the highest reward.
        """
        rows = self._store.trials.values()
        if ranked := finalists(rows):
            self.row = self._store.trials[ranked[0].trial_id]
            text = best_yaml(self.row, run=self._store.folder, repeats=ranked[0])
            self._store.write_text("best.yaml", text)
        elif recommended := queue.recommended(1):
            mine = [row for row in rows if tuple(row["choices"]) == recommended[0] and may_win(row)]
            self.row = max(mine, key=standing)
            self._store.write_text("best.yaml", best_yaml(self.row, run=self._store.folder))

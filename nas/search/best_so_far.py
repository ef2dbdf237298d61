"""The best architecture of a run so far, in best.yaml whenever it changes; and the winner in the end."""

from analysis.finalists import Standing
from analysis.trial_rules import beats
from analysis.winner import best_trial_of, winner
from nas.search.best_file import best_yaml
from nas.search.trial_queue import TrialQueue
from search_spaces.settings.seal import sealed_text
from trials.log.file_names import BEST_FILE
from trials.log.row_types import TrialRow
from trials.log.store import RunStore


class BestSoFar:
    """The best trial so far: compares rows as they come.

    Attributes:
        row: the best one; None before the first that may win.
    """

    def __init__(self, store: RunStore) -> None:
        self.row: TrialRow | None = None
        self._store = store

    def compare(self, row: TrialRow) -> bool:
        """Takes in a row; True if it is the best so far."""
        if not beats(row, self.row):
            return False
        self.row = row
        return True

    def write_if_best(self, row: TrialRow) -> None:
        """Compares a new row, and writes best.yaml if it is the best."""
        if self.compare(row):
            self._store.write_text(BEST_FILE, self._text(row))

    def choose_winner(self, queue: TrialQueue) -> None:
        """The winner of a search that has ended; best.yaml names it for readers of the run."""
        rows = self._store.trials.values()
        recommended = [best_trial_of(choices, rows) for choices in queue.recommended(1)]
        chosen = winner(rows, recommended=next(iter(recommended), None))
        if chosen is not None:
            self.row = self._store.trials[chosen.trial_id]
            self._store.write_text(BEST_FILE, self._text(self.row, chosen.standing))

    def _text(self, row: TrialRow, standing: Standing | None = None) -> str:
        run = self._store.folder
        return sealed_text(best_yaml(row, run=run, file=run / BEST_FILE, standing=standing))

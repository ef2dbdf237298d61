"""The tables of a run's views, from segments and the rows that are in none; and when they are due."""

import time
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa

from trials.log.parts import Block, Sealed
from trials.log.reading import trials_of
from trials.log.row_types import EpochRow, TrialRow
from trials.log.tables import EPOCHS, TRIALS, Kind

VIEWS = (TRIALS.name, EPOCHS.name)


class ViewTables:
    """Makes the tables, each row converted once.

    Attributes:
        stale: the kinds of rows of which there are some that their view does not show.
    """

    def __init__(self, *, every: float) -> None:
        self.stale: set[str] = set(VIEWS)
        self._every = every  # seconds between views
        self._written_at = 0.0
        self._loose: pa.Table = TRIALS.schema.empty_table()  # rows that were in no segment at the last view

    def are_due(self, *, force: bool) -> bool:
        """True if the views are to be written now."""
        if force:
            self.stale.update(VIEWS)
        return force or (bool(self.stale) and time.monotonic() - self._written_at >= self._every)

    def written(self) -> None:
        """Notes that the views show all there is."""
        self._written_at = time.monotonic()
        self.stale.clear()

    def tables(
        self,
        trials: Mapping[int, TrialRow],
        epochs: Mapping[int, Sequence[EpochRow]],
        sealed: Mapping[Block, Sealed],
    ) -> Iterator[tuple[Kind, pa.Table]]:
        """The table of each view that is stale. `epochs`: of trials that are in no segment.

        Epochs of trials in flight come all the time, rows now and then, and theirs is the larger view.
        """
        if TRIALS.name in self.stale:
            of_trials = {block: rows.trials for block, rows in sealed.items()}
            yield TRIALS, _merged(of_trials, self._in_none(trials, sealed))
        if EPOCHS.name in self.stale:
            loose = [row for trial_id in sorted(epochs) for row in epochs[trial_id]]
            of_loose = pa.Table.from_pylist(loose, schema=EPOCHS.schema)
            yield EPOCHS, _merged({block: rows.epochs for block, rows in sealed.items()}, of_loose)

    def _in_none(self, trials: Mapping[int, TrialRow], blocks: Mapping[Block, Sealed]) -> pa.Table:
        """Rows that are in no segment. A thousand workers leave many, so each is converted only once."""
        sealed = trials_of(blocks)
        here = self._loose["trial_id"].to_pylist()
        kept = self._loose.filter(pa.array([i not in sealed for i in here], pa.bool_()))
        known = sealed.union(here)
        fresh = [row for trial_id, row in trials.items() if trial_id not in known]
        self._loose = pa.concat_tables([kept, pa.Table.from_pylist(fresh, schema=TRIALS.schema)])
        return self._loose


def _merged(sealed: Mapping[Block, pa.Table], loose: pa.Table) -> pa.Table:
    """Segments and the rows that are in none, by trial; a trial's epochs are in order already."""
    ids = loose["trial_id"].to_numpy()
    order = np.argsort(ids, kind="stable")
    loose, ids = loose.take(order), ids[order]
    tables, begin = [], 0
    for block in sorted(sealed):  # no loose row lies in one: nothing sealed is sorted, or copied
        end = int(np.searchsorted(ids, block[0]))
        tables += [loose.slice(begin, end - begin), sealed[block]]
        begin = end
    return pa.concat_tables([*tables, loose.slice(begin)])

"""Live view of a search: on a terminal a screen that moves, elsewhere a line per trial."""

from collections import Counter, deque
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from analysis.finalists import Standing, finalists, standings
from analysis.numbers import counted, duration, percent, short_count
from analysis.trial_rules import RETRAINED, beats, is_counted, spent
from nas.events import Begun, Retried, RowWritten, SearchEvent
from nas.results.time_left import PACED_TRIALS, Remaining, seconds_left
from nas.screens.best_mark import BestLines
from nas.screens.live_figures import DeviceUse, sparkline
from nas.search.config import Budget
from trials.log.row_types import TrialRow, measured, measured_objective
from trials.objective import ACCURACY, CURVES, Objective, in_a_word, name_of
from trials.trial import EpochResult, Notice, Progress

CURVE_WIDTH = 32  # of 80 columns
MOST_WORKERS = 16  # that have a line each


class LiveView(AbstractContextManager["LiveView"]):
    """Shows the events of a search; use as a context manager and pass `show` as `on_event`."""

    def __init__(
        self,
        console: Console,
        budget: Budget,
        *,
        objective: Objective = ACCURACY,
        finalists: int = 0,
        finalist_epochs: int = 0,
    ) -> None:
        self._console = console
        self._budget = budget
        self._finalists, self._finalist_epochs = finalists, finalist_epochs  # trainings, and epochs of each
        self._workers: dict[int, Progress] = {}
        self._objective = objective
        self._reached: dict[int, float] = {}  # the objective after the last epoch, by trial
        self._rows: dict[int, TrialRow] = {}
        self._best: TrialRow | None = None
        self._lines = BestLines(console)
        self._leader: Standing | None = None  # of the finalists, once their trainings end
        self._bests: list[float] = []  # the best reward so far, after each counted trial
        self._use = DeviceUse()
        self._spent = 0.0
        self._retrained = 0
        self._started = datetime.now(UTC)
        self._ended: deque[TrialRow] = deque(maxlen=PACED_TRIALS)  # the last trials of this driver
        self._live = Live(get_renderable=self._screen, console=console, refresh_per_second=4, transient=True)

    def __enter__(self) -> "LiveView":
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def show(self, event: SearchEvent) -> None:
        """Takes in an event."""
        if isinstance(event, Begun):
            for row in event.rows:
                self._count(row)
            if event.rows or event.in_flight:
                known = counted(len(event.rows), "trial")
                self._console.print(f"continuing: {known} recorded, {event.in_flight} will run again")
            for path in event.quarantined:
                self._console.print(f"damaged: {path.name} is now in {path.parent}", soft_wrap=True)
            for path in event.foreign:
                self._console.print(f"not ours, left alone: {path}", soft_wrap=True)
        elif isinstance(event, Progress):
            self._workers[event.slot or 0] = event
            self._use.progress(event)
        elif isinstance(event, EpochResult):
            self._reached[event.trial_id] = getattr(event, CURVES[self._objective])
        elif isinstance(event, Retried):
            trial = event.trial
            self._use.ended(trial.trial_id)
            self._console.print(
                f"trial {trial.trial_id}: its worker was lost; it runs again (attempt {trial.attempt})"
            )
        elif isinstance(event, Notice):
            self._console.print(event.text, soft_wrap=True)
        elif isinstance(event, RowWritten):
            self._use.ended(event.row["trial_id"])
            self._count(event.row)
            self._ended.append(event.row)
            self._lines.print(self._line(event.row), is_best=self._best is event.row)

    def say(self, message: str) -> None:
        """Shows a sentence above what moves."""
        self._console.print(message, soft_wrap=True)

    def _count(self, row: TrialRow) -> None:
        self._rows[row["trial_id"]] = row
        if row["purpose"] in RETRAINED:
            self._retrained += 1
            self._leader = next(iter(standings(finalists(self._rows.values()))), None)
        self._spent += spent([row], self._budget.unit, self._rows)
        if beats(row, self._best):
            self._best = row
        if is_counted(row) and self._best is not None:
            self._bests.append(measured(self._best, "reward"))

    def _line(self, row: TrialRow) -> str:
        continues = row.get("continues")
        kind = row["purpose"] if continues is None else f"from {continues}"
        head = f"trial {row['trial_id']:>4} {kind:<8}"
        if row["status"] == "completed":
            size = f"{short_count(int(measured(row, 'params'))):>7} params"
            if row["purpose"] == "finalist":  # longer than all others: its figures do not compare
                size = f"{row['epochs']:>7,} epochs"
            return (
                f"{head} {in_a_word(name_of(row))} {measured_objective(row):.4f}  "
                f"step {row['step_time_ratio']:.2f}x "
                f"{size}  reward {row['reward']:.4f}"
            )
        if row["status"] == "cached":
            return f"{head}  trained before: reward {row['reward'] or 0.0:.4f}"
        if row["status"] == "stopped":
            return f"{head}  stopped: its reward would be {row['reward']:.4f} at most"
        return f"{head}  {row['status']}: {row['failure_kind']}"

    def _screen(self) -> RenderableType:
        total, unit = self._budget.total, self._budget.unit.replace("_", "-")
        summary = f"{self._spent:,.0f}/{total:,.0f} {unit}"
        if self._leader is not None:
            first = self._leader.finalist
            of = f"{len(first.rewards)} x {counted(first.epochs, 'epoch')}"
            summary += f"  best finalist {first.mean:.4f} (trial {first.trial_id}, {of})"
        elif self._best is not None:
            summary += f"  best reward {self._best['reward']:.4f} (trial {self._best['trial_id']})"
        if left := self._time_left(total):
            summary += f"  {left} left"
        header = Table.grid(padding=(0, 2))
        header.add_row(ProgressBar(total=total, completed=min(self._spent, total), width=18), summary)
        lines = [self._curve_line()] if self._bests else []
        return Group(header, *lines, *self._worker_lines())

    def _worker_lines(self) -> list[Text]:
        if len(self._workers) <= MOST_WORKERS:
            return [self._worker_line(slot) for slot in sorted(self._workers)]
        phases = Counter(progress.phase for progress in self._workers.values())
        counts = ", ".join(f"{number} {phase}" for phase, number in phases.most_common())
        return [Text(f"  {len(self._workers)} workers: {counts}")]

    def _curve_line(self) -> Text:
        low, high = self._bests[0], self._bests[-1]
        text = f"  best so far  {sparkline(self._bests, width=CURVE_WIDTH)}  {low:.3f} to {high:.3f}"
        if (share := self._use.share) is not None:
            text += f"   devices {percent(share)} busy"
        return Text(text)

    def _worker_line(self, slot: int) -> Text:
        progress = self._workers[slot]
        text = f"  worker {slot}  trial {progress.trial_id}  "
        if progress.phase in ("training", "evaluating") and progress.epoch:
            text += f"epoch {progress.epoch}/{progress.epochs}"
            if progress.trial_id in self._reached:
                text += f"  {in_a_word(self._objective)} {self._reached[progress.trial_id]:.3f}"
        else:
            text += progress.phase
        return Text(text)

    def _time_left(self, total: float) -> str | None:
        to_do = Remaining(
            budget=max(total - self._spent, 0.0),
            repeats=max(self._finalists - self._retrained, 0),
            repeat_epochs=self._finalist_epochs,
        )
        if not (to_do.budget or to_do.repeats):
            return None
        seconds = seconds_left(
            self._budget, self._ended, to_do,
            by_id=self._rows, started=self._started, at_once=len(self._workers), now=datetime.now(UTC),
        )  # fmt: skip
        return None if seconds is None else f"about {duration(seconds)}"

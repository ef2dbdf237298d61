"""What the log costs: a durable ask and trial, opening a long run, continuing one.

    python tests/benchmarks/store_speed.py [--pairs 100] [--folder DIR] [--json FILE]

Rows are of full size, with ten epochs each. Opening verifies every file; continuing also rebuilds the
strategy from the log. The folder (default: the current one) decides which disk is measured.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "fixtures"))

from formula import formula_result, formula_worker

from nas.search.config import SearchConfig, read_search_config
from nas.search.search import search
from search_spaces.settings.yaml_files import yaml_text
from trials.executors.simulated import simulated
from trials.log.durable_files import DurableFiles, SystemDisk
from trials.log.row_types import AskRow, EpochRow, TrialRow
from trials.log.rows import ask_row, epoch_row, trial_row
from trials.log.segments import write_segments
from trials.log.store import SEGMENT_SIZE, RunStore
from trials.trial import Ask, EpochResult, Trial

EPOCHS = 10
OVERRIDES = ["recipe.epochs=10", "baseline=20", "finalists=null", "budget.trials=1100"]


class UnsyncedDisk(SystemDisk):
    """To fill a long run in bearable time."""

    def sync(self, handle: int) -> None:
        pass

    def sync_folder(self, folder: Path) -> None:
        pass


def epochs_of(trial_id: int) -> tuple[EpochResult, ...]:
    """Epochs with figures of full length."""
    return tuple(
        EpochResult(
            trial_id=trial_id, attempt=1, epoch=epoch, train_loss=1 / (epoch + trial_id / 7),
            train_accuracy=0.5, minival_loss=1.7, minival_accuracy=1 - 1 / (epoch + trial_id / 7 + 1),
            minival_accuracy_raw=0.3, learning_rate=0.01, resolution=192, train_seconds=9.7,
            evaluate_seconds=0.7,
        )
        for epoch in range(1, EPOCHS + 1)
    )  # fmt: skip


def rows_of(
    trial_id: int, config: SearchConfig
) -> tuple[AskRow, Callable[[AskRow], TrialRow], tuple[EpochResult, ...]]:
    """An ask's row, what makes its trial's row of it, and its epochs."""
    architecture = config.space.reference
    choices = config.space.encode(architecture)
    ask = Ask(trial_id=trial_id, choices=choices, epochs=EPOCHS, aux={"parent": trial_id})
    now = datetime.now(UTC)
    asked = ask_row(ask, architecture=architecture, strategy="evolution", seed=trial_id, asked_at=now)
    trial = Trial(
        trial_id=trial_id, choices=choices, architecture=architecture, recipe=config.recipe, epochs=EPOCHS,
        seed=trial_id,
    )  # fmt: skip
    epochs = epochs_of(trial_id)
    result = formula_result(trial, accuracy=0.25 + trial_id % 977 / 2000, epochs=epochs)
    return asked, lambda row: trial_row(row, result, reward=0.5, environment_id="e"), epochs


def pair(store: RunStore, config: SearchConfig) -> float:
    """Seconds of a durable ask and a durable row; the epochs between them are not counted."""
    asked, answer, epochs = rows_of(store.next_trial_id, config)
    begun = time.perf_counter()
    row = store.record_ask(asked)
    asking = time.perf_counter() - begun
    for epoch in epochs:
        store.record_epoch(epoch)
    answered = answer(row)
    begun = time.perf_counter()
    store.record_trial(answered)
    return asking + time.perf_counter() - begun


def pairs(folder: Path, config: SearchConfig, count: int) -> list[float]:
    """Seconds of durable asks and rows."""
    with RunStore(folder) as store:
        store.write_text("search.yaml", yaml_text(config))
        return [pair(store, config) for _ in range(count)]


def opening(folder: Path, config: SearchConfig, count: int) -> float:
    """Seconds to open a run of so many trials, in segments of 100 as a search leaves it."""
    with RunStore(folder) as store:
        store.write_text("search.yaml", yaml_text(config))
    for first in range(0, count, SEGMENT_SIZE):
        asks: list[AskRow] = []
        rows: list[TrialRow] = []
        epoch_rows: dict[int, list[EpochRow]] = {}
        for trial_id in range(first, first + SEGMENT_SIZE):
            asked, answer, epochs = rows_of(trial_id, config)
            asked["ask_seq"] = 2 * trial_id
            asks.append(asked)
            rows.append({**answer(asked), "tell_seq": 2 * trial_id + 1})
            epoch_rows[trial_id] = [epoch_row(epoch) for epoch in epochs]
        block = (first, first + SEGMENT_SIZE - 1)
        write_segments(folder, DurableFiles(UnsyncedDisk()), block, asks, rows, epoch_rows)
    with RunStore(folder) as store:
        store.refresh_views(force=True)
    return timed(lambda: RunStore(folder).__enter__().__exit__(None, None, None))


def resuming(folder: Path, count: int) -> float:
    """Seconds to continue a search of so many trials that has one more to do."""

    def run(trials: int, **options: Any) -> None:
        config = read_search_config("quick", overrides=[*OVERRIDES, f"budget.trials={trials}"])
        search(config, folder, execute=simulated(), start=formula_worker, **options)

    run(count, open_run=lambda path: RunStore(path, files=DurableFiles(UnsyncedDisk())))
    return timed(lambda: run(count + 1))


def timed(action: Callable[[], object]) -> float:
    begun = time.perf_counter()
    action()
    return time.perf_counter() - begun


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pairs", type=int, default=100)
    parser.add_argument("--trials", type=int, default=10_000, help="of the run that is opened")
    parser.add_argument("--folder", type=Path, default=Path())
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    config = read_search_config("quick", overrides=OVERRIDES)
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        seconds = pairs(folder / "pairs", config, options.pairs)
        figures["ask_and_trial_ms_median"] = 1000 * statistics.median(seconds)
        figures["ask_and_trial_ms_p90"] = 1000 * statistics.quantiles(seconds, n=10)[-1]
        figures["resuming_1099_s"] = resuming(folder / "resumed", 1099)
        figures[f"opening_{options.trials}_s"] = opening(folder / "opened", config, options.trials)
    for name, value in figures.items():
        print(f"{name:28} {value:8.3f}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()

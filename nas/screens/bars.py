"""Bars of work that is counted: images that are decoded, evaluated, predicted."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, ProgressColumn


def bars_of(console: Console, *columns: ProgressColumn) -> Progress:
    """Bars on a terminal, gone when they end; nothing in a pipe, where even no bar would be an empty line."""
    return Progress(
        *(columns or Progress.get_default_columns()),
        console=console, transient=True, disable=not console.is_terminal,
    )  # fmt: skip


@contextmanager
def bar(bars: Progress, description: str) -> Iterator[Callable[[int, int], None]]:
    """`counting` with a progress bar, which is shown during the block alone."""
    move = counting(bars, description)
    try:
        yield move
    finally:
        bars.remove_task(bars.task_ids[-1])


def counting(bars: Progress, description: str) -> Callable[[int, int], None]:
    """Adds a bar, and returns what moves it: a function of the number that is done, and of the total."""
    task = bars.add_task(description, total=None)

    def show(done: int, total: int) -> None:
        bars.update(task, completed=done, total=total)

    return show

"""Bars of work that is counted: images that are decoded, evaluated, predicted."""

from collections.abc import Callable

from rich.progress import Progress


def counting(bars: Progress, description: str) -> Callable[[int, int], None]:
    """Adds a bar, and returns what moves it: a function of the number that is done, and of the total."""
    task = bars.add_task(description, total=None)

    def show(done: int, total: int) -> None:
        bars.update(task, completed=done, total=total)

    return show

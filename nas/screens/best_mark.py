"""The mark of lines of trials and epochs that are the best so far, and the line that explains it."""

from rich.console import Console

MARK = " *"
MEANING = "* ends the line of the best so far"


class BestLines:
    """Prints lines, marks the best so far among them, and says once what the mark means."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._is_explained = False

    def print(self, line: str, *, is_best: bool) -> None:
        """A line, marked if it is the best so far."""
        if is_best and not self._is_explained:
            self._is_explained = True
            self._print(MEANING)
        self._print(line + MARK * is_best)

    def _print(self, line: str) -> None:
        self._console.print(line, soft_wrap=True)

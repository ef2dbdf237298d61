"""A limit on crashes: more of them are no accident, and going on would only waste devices."""

from collections import Counter, deque

from trials.trial import TrialResult

IN_A_ROW = 3  # crashes that stop a search, whatever their reasons
FIRST, OF_FIRST = 5, 3  # bugs alike among the first trials; workers may be lost for many reasons
RECENT, OF_RECENT = 20, 5  # and among the last: more than a fifth


class CrashLimit:
    """Counts the crashes that this driver has seen; those of an earlier driver may have been mended since."""

    def __init__(self, *, of: str = "trials") -> None:
        self._of = of
        self._ended = 0
        self._row = 0
        self._recent: deque[str | None] = deque(maxlen=RECENT)

    def ended(self, result: TrialResult) -> str | None:
        """Notes how a trial ended; returns what happened too often, as the start of a sentence, or None."""
        bug = _words(result.error) if result.failure_kind == "bug" else None
        self._ended += 1
        self._recent.append(bug)
        self._row = self._row + 1 if result.status == "crashed" else 0
        if self._row >= IN_A_ROW:
            return f"{self._row} {self._of} in a row crashed"
        if bug is None:
            return None
        alike = Counter(self._recent)[bug]
        if self._ended <= FIRST and alike >= OF_FIRST:
            return f"{alike} of the first {self._ended} {self._of} crashed alike"
        if self._ended >= RECENT and alike >= OF_RECENT:
            return f"{alike} of the last {RECENT} {self._of} crashed alike"
        return None


def _words(error: str | None) -> str:
    """Last line of a traceback, with the numbers in it masked."""
    last = "".join((error or "").strip().splitlines()[-1:])
    return "".join("0" if character.isdigit() else character for character in last)

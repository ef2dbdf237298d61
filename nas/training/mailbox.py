"""Mailbox between a training's processes and its driver, an actor; it imports nothing, to start at once."""


class Mailbox:
    """Events, pickled, from the first process to the driver; and back, whether it wants to stop."""

    def __init__(self) -> None:
        self._posted: list[bytes] = []
        self._stopped = False

    def post(self, item: bytes) -> bool:
        """Keeps an event; True if the driver wants the training to stop."""
        self._posted.append(item)
        return self._stopped

    def take(self) -> list[bytes]:
        """Takes out the events since the last time."""
        posted, self._posted = self._posted, []
        return posted

    def stop(self) -> None:
        """Answers from now on that the training should stop."""
        self._stopped = True

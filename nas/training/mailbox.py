"""What an actor keeps between a training's processes and the driver; it imports nothing, to start at once."""


class Mailbox:
    """Pieces of news, pickled, from the first process to the driver; and back, whether it wants to stop."""

    def __init__(self) -> None:
        self._told: list[bytes] = []
        self._stopped = False

    def tell(self, item: bytes) -> bool:
        """Keeps a piece of news; whether the driver wants the training to stop."""
        self._told.append(item)
        return self._stopped

    def take(self) -> list[bytes]:
        """What was told since the last time."""
        told, self._told = self._told, []
        return told

    def stop(self) -> None:
        """From now on whoever tells is told to stop."""
        self._stopped = True

"""Several mistakes in one object of the settings, all said at once."""

from collections.abc import Iterable


class FaultsError(ValueError):
    """Values that contradict each other: a sentence each, mostly with its field first ("layers: …")."""

    def __init__(self, *sentences: str) -> None:
        super().__init__("\n".join(sentences))
        self.sentences = sentences


def refuse(sentences: Iterable[str]) -> None:
    """Refuses an object that has faults.

    Raises:
        FaultsError: there are some.
    """
    if found := tuple(sentences):
        raise FaultsError(*found)

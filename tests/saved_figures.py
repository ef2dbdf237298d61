"""What the pictures that a program saves hold: its figures, and the data in their artists."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure


@contextmanager
def saved_figures() -> Iterator[list[Figure]]:
    """A block whose saved figures are kept, in order; they are saved as ever."""
    saved: list[Figure] = []
    save = Figure.savefig

    def keep(figure: Figure, *arguments: Any, **named: Any) -> None:
        saved.append(figure)
        save(figure, *arguments, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", keep)
        yield saved


def points(axes: Axes) -> list[np.ndarray]:
    """The places of each scatter, (n, 2)."""
    return [np.asarray(each.get_offsets()) for each in axes.collections if len(each.get_offsets())]


def labelled_points(axes: Axes) -> dict[str, np.ndarray]:
    """The places of each scatter with a label, (n, 2)."""
    return {str(each.get_label()): np.asarray(each.get_offsets()) for each in axes.collections}


def labelled_lines(axes: Axes) -> dict[str, np.ndarray]:
    """The places of each line with a label, (n, 2)."""
    return {str(line.get_label()): line.get_xydata() for line in axes.lines}


def centres_and_ends(axes: Axes) -> tuple[np.ndarray, np.ndarray]:
    """Of the error bars: their centres (n, 2), and where they begin and end along x (n, 2)."""
    (bars,) = (each for each in axes.containers if isinstance(each, ErrorbarContainer))
    centre, _, (drawn,) = bars.lines
    return centre.get_xydata(), np.array([segment[:, 0] for segment in drawn.get_segments()])

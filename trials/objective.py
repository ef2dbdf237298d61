"""The objective: the quantity that is the first factor of a search's reward, and where a trial's row has it.

Everything that compares trials by how well they classify asks here, and for no column by its name. All
objectives are between 0 and 1, more being better; accuracy is recorded beside whichever it is.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal, cast

import numpy as np

Objective = Literal["accuracy", "balanced_accuracy"]
ACCURACY: Final[Objective] = "accuracy"  # also of rows that earlier versions wrote

# The column of each objective's value after each epoch. A column of its own name has the last epoch's.
CURVES: Mapping[Objective, str] = {
    "accuracy": "minival_accuracy",
    "balanced_accuracy": "minival_balanced_accuracy",
}


def name_of(row: Mapping[str, Any]) -> Objective:
    """The name of the objective of a trial's row."""
    return cast(Objective, row.get("objective") or ACCURACY)


def objective_of(row: Mapping[str, Any]) -> float | None:
    """The value of a row's objective, 0-1; None of a trial that has not completed."""
    return cast("float | None", row.get(name_of(row)))


def curve_of(row: Mapping[str, Any]) -> tuple[float, ...]:
    """The values of a row's objective after each epoch; empty where none are recorded."""
    return tuple(row.get(CURVES[name_of(row)]) or ())


def value_of(figures: object, objective: Objective) -> float:
    """The objective among figures that have each as an attribute of its name, 0-1."""
    value: float | None = getattr(figures, objective)
    assert value is not None, f"{objective} is the objective, and was not measured"
    return value


def in_words(objective: Objective) -> str:
    """An objective's name in a sentence."""
    return objective.replace("_", " ")


def in_a_word(objective: Objective) -> str:
    """An objective's name where there is little room."""
    return objective.removesuffix("_accuracy")


def figures_in_words(objective: Objective, value: float, accuracy: float) -> str:
    """An objective with its value and, where it is another one, the accuracy beside it."""
    text = f"{in_words(objective)} {value:.4f}"
    return text if objective == ACCURACY else f"{text} (accuracy {accuracy:.4f})"


def mean_recall(correct: np.ndarray, images: np.ndarray) -> float:
    """Balanced accuracy: the mean of the classes' recalls.

    Args:
        correct: (K,) correctly predicted images of each class.
        images: (K,) all images of each class; classes without any are left out of the mean.
    """
    present = images > 0
    return float(np.mean(correct[present] / images[present]))

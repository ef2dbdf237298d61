"""A table of trained architectures (Parquet), as outcomes that a simulated search is told."""

import fnmatch
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from analysis.public_tables import public_tables
from nas.simulation.simulate import KnownOutcomes
from search_spaces.choices.choice_space import Choices, ChoiceSpace
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.near_names import suggestion
from trials.log.parquet_errors import UnreadableParquetError, parquet_refused
from trials.reward import Reward
from trials.trial import Outcome

# Under which names a column is found that the user does not name; the first that is there is taken.
NAMES = {
    "accuracy": (
        "accuracy", "mean_accuracy", "mean_acc", "acc", "test_accuracy", "test_acc", "val_accuracy",
        "val_acc", "valid_accuracy", "valid_acc", "minival_accuracy",
    ),
    "params": ("params", "num_params", "parameters", "n_params"),
    "macs": ("macs", "flops"),
    "seconds": ("seconds", "trial_seconds", "train_seconds", "training_seconds", "train_time",
                "training_time", "time"),
    "step_time": ("step_time_ratio", "step_seconds", "step_time"),
}  # fmt: skip
ROLES = ("choices", *NAMES)
QUANTITIES = {"params": "params", "macs": "macs", "step_time_ratio": "step_time"}  # by the reward's names
DERIVE_RUN = 2  # keeps the draw of a run apart from other randomness of the same trial


@dataclass(frozen=True)
class OutcomeTable:
    """Rows of a table: choices, accuracy of each run, and cost.

    Attributes:
        choices: indices of options, of each row.
        options: the options of each decision, in the order of their indices.
        accuracies: (runs, rows), 0-1.
        quantities: (rows) each, positive, by role: params, macs, seconds, step_time; those that are there.
        columns: the table's columns by role.
    """

    choices: tuple[Choices, ...]
    options: tuple[tuple[Any, ...], ...]
    accuracies: np.ndarray
    quantities: dict[str, np.ndarray]
    columns: dict[str, tuple[str, ...]]


# ---------------------------------------------------------------------- reading


def read_table(path: Path, *, named: Mapping[str, str]) -> OutcomeTable:
    """The table of a Parquet file; `named` gives columns by role where their names do not tell.

    Choices and accuracy may be several columns, given by a pattern (`layer*`): a decision each, or a run of
    the same architecture each. Choices may also be one column of lists.

    Raises:
        ConfigError: no such file, no such column, or values that cannot be.
    """
    try:
        with parquet_refused():
            file = pq.ParquetFile(path)
            schema = file.schema_arrow
        columns = _columns(schema, named, path)
        with parquet_refused():
            table = file.read(columns=list(dict.fromkeys(sum(columns.values(), ()))))
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: there is no such file or run directory; tables that come with the project: "
            f"{', '.join(public_tables())}"
        ) from None
    except UnreadableParquetError as error:
        raise ConfigError(f"{path}: not a readable Parquet file: {error}") from None
    if not len(table):
        raise ConfigError(f"{path}: the table has no rows")
    choices, options = _choices(table, columns["choices"], path)
    return OutcomeTable(
        choices=choices,
        options=options,
        accuracies=_accuracies(table, columns["accuracy"], path),
        quantities={
            role: _positive(table, columns[role][0], path)
            for role in ("params", "macs", "seconds", "step_time")
            if role in columns
        },
        columns=columns,
    )


def _columns(schema: pa.Schema, named: Mapping[str, str], path: Path) -> dict[str, tuple[str, ...]]:
    """The columns of each role that is there; what is named must be."""
    for role, pattern in named.items():
        if role not in ROLES:
            raise ConfigError(
                f"--column {role}={pattern}: '{role}' is not a role of columns; roles are "
                f"{', '.join(ROLES)}{suggestion(role, ROLES)}"
            )
    found: dict[str, tuple[str, ...]] = {}
    for role in ROLES:
        if role in named:
            found[role] = _matching(role, named[role], schema.names, path)
        elif role == "choices":
            found[role] = _choice_columns(schema, path)
        elif names := [name for name in NAMES[role] if name in schema.names]:
            found[role] = (names[0],)
    for role in ("accuracy", "seconds"):
        if role not in found:
            raise ConfigError(
                f"{path}: no column of {role} is found among {', '.join(schema.names)}; "
                f"name it:  --column {role}=COLUMN"
            )
    found.setdefault("step_time", found["seconds"])
    return found


def _matching(role: str, pattern: str, names: Sequence[str], path: Path) -> tuple[str, ...]:
    found = tuple(sorted(fnmatch.filter(names, pattern), key=_natural))
    if not found:
        raise ConfigError(
            f"{path}: --column {role}={pattern}: there is no such column; columns are "
            f"{', '.join(names)}{suggestion(pattern, names)}"
        )
    if len(found) > 1 and role not in ("choices", "accuracy"):
        raise ConfigError(
            f"{path}: --column {role}={pattern}: {', '.join(found)} all match; name one of them"
        )
    return found


def _choice_columns(schema: pa.Schema, path: Path) -> tuple[str, ...]:
    """A column `choices` of lists, or the columns of one name that are numbered and hold no fractions."""
    if "choices" in schema.names and _is_list(schema.field("choices").type):
        return ("choices",)
    groups: dict[str, list[str]] = {}
    for field in schema:
        if (match := re.fullmatch(r"(.*?)\d+", field.name)) and not pa.types.is_floating(field.type):
            groups.setdefault(match[1], []).append(field.name)
    numbered = [group for group in groups.values() if len(group) > 1]
    if len(numbered) == 1:
        return tuple(sorted(numbered[0], key=_natural))
    found = " and ".join(f"{group[0]}..{group[-1]}" for group in numbered) or "none"
    raise ConfigError(
        f"{path}: which columns are choices? Numbered columns of one name are expected, found {found}; "
        f"name them:  --column 'choices=PATTERN*'   (columns are {', '.join(schema.names)})"
    )


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _natural(name: str) -> list[tuple[int, str]]:
    """layer2 comes before layer10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _choices(
    table: pa.Table, names: Sequence[str], path: Path
) -> tuple[tuple[Choices, ...], tuple[tuple[Any, ...], ...]]:
    """Indices of options by row, and the options: the values of each decision in ascending order."""
    values = [table[name].to_pylist() for name in names]
    if len(names) == 1 and _is_list(table[names[0]].type):
        if len({len(row or ()) for row in values[0]}) > 1:
            raise ConfigError(f"{path}: {names[0]}: its lists are not of one length")
        values = [list(decision) for decision in zip(*values[0], strict=True)]
    elif nested := [name for name in names if pa.types.is_nested(table[name].type)]:
        raise ConfigError(f"{path}: column {nested[0]} holds {table[nested[0]].type}; an option is one value")
    if not values or any(value is None for decision in values for value in decision):
        raise ConfigError(f"{path}: {', '.join(names)}: every row needs a value for every decision")
    options = tuple(tuple(sorted(set(decision))) for decision in values)
    indices = [{value: i for i, value in enumerate(each)} for each in options]
    rows = tuple(
        tuple(index[value] for index, value in zip(indices, row, strict=True))
        for row in zip(*values, strict=True)
    )
    first: dict[Choices, int] = {}
    for i, row in enumerate(rows):
        if first.setdefault(row, i) != i:
            raise ConfigError(
                f"{path}: rows {first[row]} and {i} have the same choices; one row for each architecture is "
                "expected (several runs of it: several columns, as in --column 'accuracy=test_acc_*')"
            )
    return rows, options


def _numbers(table: pa.Table, name: str, path: Path) -> np.ndarray:
    try:
        values: np.ndarray = table[name].cast(pa.float64()).to_numpy()
    except pa.ArrowException:
        raise ConfigError(f"{path}: column {name} holds {table[name].type}; numbers are expected") from None
    if wrong := np.flatnonzero(~np.isfinite(values)).tolist():
        raise ConfigError(f"{path}: column {name}: row {wrong[0]} has no finite number; leave such rows out")
    return values


def _positive(table: pa.Table, name: str, path: Path) -> np.ndarray:
    values = _numbers(table, name, path)
    if wrong := np.flatnonzero(values <= 0).tolist():
        raise ConfigError(
            f"{path}: column {name}: row {wrong[0]} is {values[wrong[0]]:g}; above 0 is expected"
        )
    return values


def _accuracies(table: pa.Table, names: Sequence[str], path: Path) -> np.ndarray:
    """(runs, rows), 0-1, also where the table has per cent."""
    values = np.stack([_numbers(table, name, path) for name in names])
    if values.min() < 0 or values.max() > 100:
        raise ConfigError(
            f"{path}: {', '.join(names)}: {values.min():g} to {values.max():g}; an accuracy is 0 to 1, or "
            "0 to 100 per cent"
        )
    return values / 100 if values.max() > 1 else values


# ---------------------------------------------------------------------- as outcomes


def known_outcomes(
    table: OutcomeTable,
    reward: Reward,
    *,
    reference: Choices | None = None,
    expected_accuracies: np.ndarray | None = None,
    runs: Sequence[int] | None = None,
) -> KnownOutcomes:
    """Outcomes of a table: a trial's is one of the runs of its row, the expected one the mean of all runs.

    Args:
        reward: of ratios to the row `reference`; by default to the median of each column.
        expected_accuracies: (rows), in place of those means.
        runs: of which a trial's is drawn; by default all.

    Raises:
        ConfigError: the table lacks a quantity of the reward.
    """
    ratios = _ratios(table, reward, reference)
    accuracies = table.accuracies[list(runs) if runs is not None else slice(None)]
    seen, plain = [_rewards(run, reward, ratios) for run in accuracies], accuracies.tolist()
    if expected_accuracies is None:
        expected_accuracies = table.accuracies.mean(axis=0)
    expected = _rewards(expected_accuracies, reward, ratios)
    params = ratios.get("params", [1.0] * len(table.choices))
    seconds = table.quantities["seconds"].tolist()
    rows = {choices: i for i, choices in enumerate(table.choices)}

    def outcome(choices: Choices, seed: int, trial_id: int) -> Outcome:
        row, run = rows[choices], 0
        if len(plain) > 1:
            run = int(np.random.default_rng([seed, trial_id, DERIVE_RUN]).integers(len(plain)))
        return Outcome(
            status="completed",
            reward=seen[run][row],
            accuracy=plain[run][row],
            step_time_ratio=ratios["step_time_ratio"][row],
            params=params[row],
        )

    counted = {name: ratios[name] for name in ("params", "macs") if name in ratios}

    def known(choices: Choices) -> dict[str, float]:
        return {name: values[rows[choices]] for name, values in counted.items()}

    return KnownOutcomes(
        space=ChoiceSpace.from_table(table.choices, known=known),
        outcome=outcome,
        seconds=lambda choices: seconds[rows[choices]],
        expected_reward=lambda choices: expected[rows[choices]],
        best=max(expected),
    )


def _rewards(accuracies: np.ndarray, reward: Reward, ratios: Mapping[str, Sequence[float]]) -> list[float]:
    """Reward of every row."""
    at = [{name: ratios[name][row] for name in reward.terms} for row in range(len(accuracies))]
    return [reward.of(value, at[row].__getitem__) for row, value in enumerate(accuracies.tolist())]


def _ratios(table: OutcomeTable, reward: Reward, reference: Choices | None) -> dict[str, list[float]]:
    """Ratios of every row to the reference, by quantity."""
    row = table.choices.index(reference) if reference is not None else None
    ratios = {}
    for name, role in QUANTITIES.items():
        if role in table.quantities:
            values = table.quantities[role]
            ratios[name] = (values / (np.median(values) if row is None else values[row])).tolist()
    for name in reward.terms:
        if name not in ratios:
            raise ConfigError(
                f"reward: the table has no column of {name}; name it (--column {QUANTITIES.get(name, name)}="
                f"COLUMN), or give another --reward (the table has {', '.join(ratios)})"
                if name in QUANTITIES
                else f"reward: a table has no {name}; rewards of a table are of {', '.join(ratios)}"
            )
    return ratios


def row_named(table: OutcomeTable, text: str) -> Choices:
    """The choices of the row whose options are these, separated by commas.

    Raises:
        ConfigError: there is no such row.
    """
    words = [word.strip() for word in text.split(",")]
    shown = [[str(option) for option in options] for options in table.options]
    if len(words) == len(shown) and all(w in options for w, options in zip(words, shown, strict=True)):
        choices = tuple(options.index(word) for word, options in zip(words, shown, strict=True))
        if choices in table.choices:
            return choices
    example = ",".join(options[i] for options, i in zip(shown, table.choices[0], strict=True))
    raise ConfigError(f"--reference {text}: the table has no such row; a row's choices are like {example}")

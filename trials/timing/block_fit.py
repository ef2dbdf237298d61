"""Predicts the step time of any architecture of a space from a table of block times, with an error bar.

1. `part_times`: the time of each block is the median over the networks in which it was measured.
2. `summed`: the sum of its parts is a first prediction of a network's step time.
3. `fit_corrections`: ridge regression on the networks that were measured as wholes corrects what these sums
   have in common: a constant per network, and the errors of some kinds of parts.
4. `Corrections.relative_error`: the error bar from leave-one-out residuals and the fit's own uncertainty.
"""

import statistics
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from search_spaces.choices.block_cover import PlacedBlock, placed_blocks
from search_spaces.networks.architecture import Architecture
from search_spaces.networks.counting import count
from search_spaces.networks.ops import op_facts
from trials.timing.block_table import BlockTable

Array = npt.NDArray[np.float64]

FEWEST_WHOLE = 4  # networks measured as wholes that a fit needs
RIDGES = (1.0, 3.0, 10.0, 100.0, 1e6)  # strengths of the penalty to choose from; the last corrects nothing


@dataclass(frozen=True)
class BlockTime:
    """A block's median time inside networks, in units of the reference network's step."""

    forward: float
    backward: float
    measurements: int

    @property
    def ratio(self) -> float:
        """Forward and backward together, over the reference network's step."""
        return self.forward + self.backward


@dataclass(frozen=True)
class PartTimes:
    """Times of all parts from which steps are summed: medians over the networks that contain a part."""

    stem: float
    top: float
    update: tuple[float, float]  # constant, and per parameter
    blocks: Mapping[PlacedBlock, BlockTime]


@dataclass(frozen=True)
class Corrections:
    """A linear model of relative corrections: 1 + coefficients · (1, (features - shift) / scale).

    Attributes:
        spread: (X'X + ridge I)^-1, which is proportional to the covariance of the coefficients.
        leave_one_out: relative errors of the k measured networks, each predicted by a fit without it.
    """

    shift: Array  # (f,) means of the features
    scale: Array  # (f,) their standard deviations
    coefficients: Array  # (1 + f,)
    spread: Array  # (1 + f, 1 + f)
    leave_one_out: Array  # (k,)

    def factor(self, features: Array) -> float:
        """The factor that corrects the sum of an architecture's parts."""
        return 1.0 + float(self._row(features) @ self.coefficients)

    def relative_error(self, features: Array) -> float:
        """Relative standard error of a prediction, √(e² (1 + x' (X'X + ridge I)^-1 x)).

        e is the root mean square of the leave-one-out errors; the second term grows with the distance of x
        from the measured networks.
        """
        row = self._row(features)
        error = float(np.sqrt(np.mean(self.leave_one_out**2)))
        return error * float(np.sqrt(1.0 + row @ self.spread @ row))

    def _row(self, features: Array) -> Array:
        return np.concatenate([[1.0], (features - self.shift) / self.scale])


def part_times(table: BlockTable) -> PartTimes:
    """The times of all parts in a table."""
    seen: dict[PlacedBlock, list[tuple[float, float]]] = defaultdict(list)
    resolution = table.conditions.resolution
    for network in table.parted:
        blocks = placed_blocks(network.architecture, resolution)
        for block, forward, backward in zip(
            blocks, network.parts.forward, network.parts.backward, strict=True
        ):
            seen[block].append((forward, backward))
    return PartTimes(
        stem=statistics.median(network.parts.stem for network in table.parted),
        top=statistics.median(network.parts.top for network in table.parted),
        update=_update_line(table),
        blocks={block: _block_time(times) for block, times in seen.items()},
    )


def _block_time(times: list[tuple[float, float]]) -> BlockTime:
    forward, backward = zip(*times, strict=True)
    return BlockTime(statistics.median(forward), statistics.median(backward), len(times))


def _update_line(table: BlockTable) -> tuple[float, float]:
    """The update's time as a line over the number of parameters: (constant, slope), neither below 0."""
    # Least squares on the networks that were measured in parts.
    params = np.array([float(_params(network.architecture, table)) for network in table.parted])
    taken = np.array([network.parts.update for network in table.parted])
    centred = params - params.mean()
    per_parameter = max(0.0, float(centred @ taken / (centred @ centred))) if centred.any() else 0.0
    constant = float(taken.mean() - per_parameter * params.mean())
    # A negative constant is noise: the line then goes through the origin instead.
    if constant < 0:
        return 0.0, float(taken.sum() / params.sum())
    return constant, per_parameter


def _params(architecture: Architecture, table: BlockTable) -> int:
    conditions = table.conditions
    return count(architecture, num_classes=conditions.num_classes, resolution=conditions.resolution).params


def summed(architecture: Architecture, times: PartTimes, table: BlockTable) -> tuple[float, Array]:
    """The sum of an architecture's parts, and the features of its correction, (4,).

    The features are, as shares of the sum: a constant time, blocks with a full convolution
    (Fused-MBConv), blocks with a residual connection, and the update.

    Raises:
        ValueError: the table has no time for one of the blocks.
    """
    constant, per_parameter = times.update
    update = constant + per_parameter * _params(architecture, table)
    fused = repeated = total = 0.0
    for placed in placed_blocks(architecture, table.conditions.resolution):
        if placed not in times.blocks:
            raise ValueError(
                f"no block time of {placed.block} at {placed.side} px: the architecture is not in the "
                "table's space; build a table for its own with nas measure --table"
            )
        ratio = times.blocks[placed].ratio
        total += ratio
        fused += ratio if op_facts(placed.block.op).has_full_convolution else 0.0
        repeated += ratio if placed.block.has_residual else 0.0
    total += times.stem + times.top + update
    return total, np.array([1.0, fused, repeated, update]) / total


def fit_corrections(sums: Array, features: Array, measured: Array) -> Corrections:
    """Ridge regression of measured / sum - 1 on standardised features.

    The strength of the penalty is chosen from RIDGES by the mean squared leave-one-out error.

    Args:
        sums: (k,) sums of parts of the networks that were measured as wholes.
        features: (k, f) their features.
        measured: (k,) their measured step time ratios.

    Raises:
        ValueError: there are fewer networks than FEWEST_WHOLE.
    """
    if len(measured) < FEWEST_WHOLE:
        raise ValueError(
            f"the table has {len(measured)} networks measured as wholes; the fit needs {FEWEST_WHOLE}"
        )
    # Step 1: standardise, so that the penalty treats all features alike; a constant feature stays 0.
    scale = features.std(axis=0)
    scale[scale < 1e-9] = 1.0
    shift = features.mean(axis=0)
    rows = np.column_stack([np.ones(len(sums)), (features - shift) / scale])
    # Step 2: fit with every penalty, and keep the fit that predicts left-out networks best.
    target = measured / sums - 1.0
    fits = [_ridge(rows, target, sums, measured, ridge) for ridge in RIDGES]
    coefficients, spread, errors = min(fits, key=lambda fit: float(np.mean(fit[2] ** 2)))
    return Corrections(shift, scale, coefficients, spread, errors)


def _ridge(
    rows: Array, target: Array, sums: Array, measured: Array, ridge: float
) -> tuple[Array, Array, Array]:
    """A ridge fit: coefficients, (X'X + ridge I)^-1, and relative leave-one-out errors.

    The latter need no further fits: without itself, the residual of network i is its residual / (1 - h_i),
    with the leverage h_i = x_i' (X'X + ridge I)^-1 x_i.
    """
    spread = np.linalg.inv(rows.T @ rows + ridge * np.eye(rows.shape[1])).astype(np.float64)
    coefficients = spread @ rows.T @ target
    leverage = np.einsum("ki,ij,kj->k", rows, spread, rows)
    left_out = target - (target - rows @ coefficients) / (1.0 - leverage)
    return coefficients, spread, sums * (1.0 + left_out) / measured - 1.0


@dataclass(frozen=True)
class Fit:
    """A fitted table, which predicts step times."""

    table: BlockTable
    times: PartTimes
    corrections: Corrections

    @property
    def error(self) -> float:
        """Mean absolute relative error of the measured networks, each predicted by a fit without it."""
        return float(np.mean(np.abs(self.corrections.leave_one_out)))

    def predict(self, architecture: Architecture) -> tuple[float, float]:
        """The predicted step time ratio and its standard error.

        Raises:
            ValueError: the architecture is not in the table's space.
        """
        total, features = summed(architecture, self.times, self.table)
        ratio = total * self.corrections.factor(features)
        return ratio, ratio * self.corrections.relative_error(features)


def fit_table(table: BlockTable) -> Fit:
    """Fits the corrections of a table.

    Networks whose timing is flagged as uncertain are left out, if enough others remain.

    Raises:
        ValueError: too few networks were measured as wholes.
    """
    times = part_times(table)
    trusted = [network for network in table.whole if network.timing_flag is None]
    if len(trusted) < FEWEST_WHOLE:
        trusted = list(table.whole)
    sums = [summed(network.architecture, times, table) for network in trusted]
    corrections = fit_corrections(
        np.array([total for total, _ in sums]),
        np.array([features for _, features in sums]).reshape(len(sums), -1),
        np.array([network.step_time_ratio for network in trusted]),
    )
    return Fit(table, times, corrections)

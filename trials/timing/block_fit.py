"""From a table of block times to the step time of any architecture of its space, with an error bar.

The parts of a network's step add up to it, so the sum of its blocks' times, measured inside other networks,
is a prediction already. A few corrections, fitted on networks that were measured as wholes, take away what is
left in common: what a network costs whatever it is made of, and how sums of one kind of block are off.
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
from trials.timing.block_table import BlockTable

Array = npt.NDArray[np.float64]

FEWEST_WHOLE = 4  # networks, to correct anything
RIDGES = (1.0, 3.0, 10.0, 100.0, 1e6)  # the last leaves the sums as they are


@dataclass(frozen=True)
class BlockTime:
    """What a block takes in a network, in units of the reference network's step; of so many measurements."""

    forward: float
    backward: float
    measurements: int

    @property
    def ratio(self) -> float:
        """Of both passes, to the reference network's step."""
        return self.forward + self.backward


@dataclass(frozen=True)
class PartTimes:
    """What a network's step is summed up from: medians over the networks in which a part was measured."""

    stem: float
    top: float
    update: tuple[float, float]  # what every step costs, and per parameter
    blocks: Mapping[PlacedBlock, BlockTime]


@dataclass(frozen=True)
class Corrections:
    """A prediction's relative correction is `coefficients` times its features, less `shift` over `scale`.

    Attributes:
        leave_one_out: relative errors of the measured networks, each predicted without itself.
        spread: of the features, (X'X + ridge)^-1: how much the coefficients may be off.
    """

    shift: Array  # (f,)
    scale: Array  # (f,)
    coefficients: Array  # (1 + f,)
    spread: Array  # (1 + f, 1 + f)
    leave_one_out: Array  # (k,)

    def factor(self, features: Array) -> float:
        """What the sum of the parts has to be multiplied by."""
        return 1.0 + float(self._row(features) @ self.coefficients)

    def relative_error(self, features: Array) -> float:
        """Standard error of a prediction over the prediction."""
        row = self._row(features)
        error = float(np.sqrt(np.mean(self.leave_one_out**2)))
        return error * float(np.sqrt(1.0 + row @ self.spread @ row))

    def _row(self, features: Array) -> Array:
        return np.concatenate([[1.0], (features - self.shift) / self.scale])


def part_times(table: BlockTable) -> PartTimes:
    """The table's entries."""
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
    """The update against parameters: a line by least squares; neither part is below 0."""
    params = np.array([float(_params(network.architecture, table)) for network in table.parted])
    taken = np.array([network.parts.update for network in table.parted])
    centred = params - params.mean()
    per_parameter = max(0.0, float(centred @ taken / (centred @ centred))) if centred.any() else 0.0
    constant = float(taken.mean() - per_parameter * params.mean())
    if constant < 0:
        return 0.0, float(taken.sum() / params.sum())
    return constant, per_parameter


def _params(architecture: Architecture, table: BlockTable) -> int:
    conditions = table.conditions
    return count(architecture, num_classes=conditions.num_classes, resolution=conditions.resolution).params


def summed(architecture: Architecture, times: PartTimes, table: BlockTable) -> tuple[float, Array]:
    """The sum of an architecture's parts, and what its correction is made of: shares of the sum.

    They are: what is the same in every network, Fused-MBConv blocks, repeated blocks, the update.

    Raises:
        ValueError: the table has no time of one of its blocks.
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
        fused += ratio if placed.block.op == "fused_mbconv" else 0.0
        repeated += ratio if placed.block.has_residual else 0.0
    total += times.stem + times.top + update
    return total, np.array([1.0, fused, repeated, update]) / total


def fit_corrections(sums: Array, features: Array, measured: Array) -> Corrections:
    """Ridge regression of measured / sum - 1 on standardised features; leave-one-out picks the ridge.

    Args:
        sums: of the parts, of networks that were measured as wholes; (k,).
        features: of the same; (k, f).
        measured: their step time ratios; (k,).

    Raises:
        ValueError: fewer networks than FEWEST_WHOLE.
    """
    if len(measured) < FEWEST_WHOLE:
        raise ValueError(
            f"the table has {len(measured)} networks measured as wholes; the fit needs {FEWEST_WHOLE}"
        )
    scale = features.std(axis=0)
    scale[scale < 1e-9] = 1.0
    shift = features.mean(axis=0)
    rows = np.column_stack([np.ones(len(sums)), (features - shift) / scale])
    target = measured / sums - 1.0
    fits = [_ridge(rows, target, sums, measured, ridge) for ridge in RIDGES]
    coefficients, spread, errors = min(fits, key=lambda fit: float(np.mean(fit[2] ** 2)))
    return Corrections(shift, scale, coefficients, spread, errors)


def _ridge(
    rows: Array, target: Array, sums: Array, measured: Array, ridge: float
) -> tuple[Array, Array, Array]:
    """Coefficients, (X'X + ridge)^-1, and leave-one-out errors relative to what was measured."""
    spread = np.linalg.inv(rows.T @ rows + ridge * np.eye(rows.shape[1])).astype(np.float64)
    coefficients = spread @ rows.T @ target
    leverage = np.einsum("ki,ij,kj->k", rows, spread, rows)
    left_out = target - (target - rows @ coefficients) / (1.0 - leverage)
    return coefficients, spread, sums * (1.0 + left_out) / measured - 1.0


@dataclass(frozen=True)
class Fit:
    """A table ready to predict."""

    table: BlockTable
    times: PartTimes
    corrections: Corrections

    @property
    def error(self) -> float:
        """Mean relative error of the measured networks, each predicted without itself."""
        return float(np.mean(np.abs(self.corrections.leave_one_out)))

    def predict(self, architecture: Architecture) -> tuple[float, float]:
        """The step time ratio and its standard error.

        Raises:
            ValueError: the architecture is not in the table's space.
        """
        total, features = summed(architecture, self.times, self.table)
        ratio = total * self.corrections.factor(features)
        return ratio, ratio * self.corrections.relative_error(features)


def fit_table(table: BlockTable) -> Fit:
    """The table's entries and corrections.

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

"""Tables of measured block times: their contents, conditions and files."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass as checked_dataclass

from search_spaces.choices.space import SearchSpace
from search_spaces.networks.architecture import Architecture
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.json_text import json_value
from search_spaces.settings.strict import STRICT
from search_spaces.settings.yaml_files import from_mapping, to_mapping
from trials.devices.cache_folder import cache_folder
from trials.log.durable_files import DurableFiles
from trials.recipe_optimizer import OptimizerName
from trials.trial import Kernels

MAX_BYTES = 64 << 20


@checked_dataclass(frozen=True, config=STRICT)
class StepParts:
    """Times of a training step's parts, in units of the reference network's whole step.

    `stem` and `top` (head, classifier and loss) are forward and backward together. `update` is the optimizer,
    zeroing of gradients and all other time outside of the network.
    """

    stem: float
    forward: tuple[float, ...]  # of each block
    backward: tuple[float, ...]  # of each block
    top: float
    update: float
    reference_seconds: float = Field(gt=0)  # of the reference network's step

    @property
    def ratio(self) -> float:
        """The step time ratio that the parts add up to."""
        return self.stem + sum(self.forward) + sum(self.backward) + self.top + self.update


@checked_dataclass(frozen=True, kw_only=True, config=STRICT)
class TableConditions:
    """The conditions under which the times of a table hold; if one of them differs, so do the times."""

    space_id: str
    device_name: str
    precision: Literal["fp32", "tf32", "bf16", "fp16"]
    batch_size: int = Field(ge=2)
    resolution: int = Field(ge=8)  # pixels
    num_classes: int = Field(ge=2)
    averages_weights: bool  # the recipe has averaging_decay
    drops_branches: bool  # the recipe has stochastic_depth
    torch: str
    kernels: Kernels = "torch"  # of tables that do not say so
    optimizer: OptimizerName = "rmsprop"  # of the update; of tables that do not say so

    def differences(self, other: "TableConditions") -> Iterator[str]:
        """A sentence for each condition that differs; `self` are the table's conditions."""
        for name, value in vars(self).items():
            if value != getattr(other, name, value):
                yield f"{name}: the table has {value!r}, here it is {getattr(other, name)!r}"


@checked_dataclass(frozen=True, kw_only=True, config=STRICT)
class PartedNetwork:
    """A network whose step was timed part by part."""

    architecture: Architecture
    parts: StepParts


@checked_dataclass(frozen=True, kw_only=True, config=STRICT)
class WholeNetwork:
    """A network whose step was timed as a whole, as in a trial."""

    architecture: Architecture
    step_time_ratio: float = Field(gt=0)
    step_time_ratio_spread: float
    timing_flag: str | None = None


@checked_dataclass(frozen=True, kw_only=True, config=STRICT)
class BlockTable:
    """Measured times of a space's blocks.

    `parted` networks together contain every block; they give each block's time inside a network. `whole`
    networks show how far sums of such times are off. `provenance` says when, where and with which versions
    this was measured.
    """

    format: Literal[1] = 1
    conditions: TableConditions
    space: SearchSpace
    parted: tuple[PartedNetwork, ...] = Field(min_length=1)
    whole: tuple[WholeNetwork, ...]
    provenance: dict[str, Any]

    def __post_init__(self) -> None:
        for network in self.parted:
            blocks = sum(1 for _ in network.architecture.blocks())
            if not blocks == len(network.parts.forward) == len(network.parts.backward):
                raise ValueError(f"a network of {blocks} blocks has times of {len(network.parts.forward)}")

    @property
    def reference_seconds(self) -> float:
        """Seconds of the reference network's step, the mean over all measurements."""
        return sum(network.parts.reference_seconds for network in self.parted) / len(self.parted)


def space_id(space: SearchSpace) -> str:
    """16 hexadecimal digits, equal for spaces with the same options and reference; limits do not count."""
    mapping = to_mapping(space)
    mapping.pop("limits", None)
    mapping["reference"] = space.reference.architecture_id
    return hashlib.sha256(json.dumps(mapping, sort_keys=True).encode()).hexdigest()[:16]


def table_text(table: BlockTable) -> str:
    """The table as JSON text, which reads back to an equal table."""
    return json.dumps(to_mapping(table), indent=1) + "\n"


def write_table(table: BlockTable, path: Path) -> None:
    """Writes the table to a file, atomically.

    Raises:
        ConfigError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        DurableFiles().write(path, table_text(table).encode())
    except OSError as error:
        raise ConfigError(f"{path}: the table cannot be written here: {error.strerror}") from error


def read_table(path: Path) -> BlockTable:
    """Reads the table of a file.

    Raises:
        ConfigError: there is no such file, or it holds no table of block times.
    """
    how = "; build one with nas measure --table SPACE"
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ConfigError(f"{path}: too large for a table of block times{how}")
        mapping = json_value(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"{path}: this table of block times cannot be read: {error.strerror}{how}"
        ) from None
    except ValueError as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"{path}: not a table of block times: it is not JSON{how}") from None
    if not isinstance(mapping, dict) or "conditions" not in mapping:
        raise ConfigError(f"{path}: not a table of block times{how}")
    return from_mapping(BlockTable, mapping, name=path.name)


def check_table(table: BlockTable, wanted: TableConditions, *, name: str) -> None:
    """Checks that a table was measured under the wanted conditions.

    Args:
        name: the table's name in the message.

    Raises:
        ConfigError: it was not; the message lists all differences and the command.
    """
    if found := list(table.conditions.differences(wanted)):
        raise ConfigError(
            f"{name}: these block times hold under other conditions:\n"
            + "\n".join(f"  {line}" for line in found)
            + "\nBuild a table for these:  nas measure --table and this search file"
        )


def default_table_path(conditions: TableConditions) -> Path:
    """The default file of the table for these conditions."""
    named = dict(vars(conditions))
    if conditions.optimizer == "rmsprop":
        del named["optimizer"]  # so that tables of before there were others are found
    digest = hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()[:24]
    return cache_folder("block_times") / f"{digest}.json"

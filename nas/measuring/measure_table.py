"""nas measure --table: the block times of a space, or of a search's space under the search's conditions."""

import os
import platform
import socket
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from nas.measuring.conditions import STEP_BATCH
from nas.measuring.table_figures import TableFigures, table_figures
from nas.search.config import SearchConfig
from search_spaces.choices.described import read_described
from search_spaces.choices.space import SearchSpace
from search_spaces.networks.architecture import Architecture
from search_spaces.networks.provenance import DEFAULT_CLASSES, DEFAULT_RESOLUTION
from search_spaces.networks.resolutions import check_resolution
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.setting_errors import refused_as
from search_spaces.settings.yaml_files import peek_yaml, read_yaml
from trials.devices.device import available_slots, device_info, keep_freed_memory, lock_of
from trials.devices.device_errors import is_out_of_memory
from trials.devices.memory_bound import bounded_on
from trials.devices.sharing import timing, training
from trials.devices.threads import threads_of_trials, using_threads
from trials.images.packed import open_images
from trials.recipe import Precision, Ramp, Recipe
from trials.timing.block_fit import fit_table
from trials.timing.block_table import BlockTable, default_table_path, read_table, write_table
from trials.timing.block_times import BlockMeasurement, measure_block_times, table_conditions
from trials.timing.precision import precision_of_trials
from trials.training.step import kernels_of_steps
from trials.trial import Slot

AVERAGING_DECAY = 0.999  # any: averaging costs the same time with each; all shipped recipes average


def measure_table_on_console(
    source: str,
    *,
    num_classes: int | None,
    resolution: int | None,
    batch_size: int | None,
    precision: Precision | None,
    out: Path | None,
    console: Console,
) -> TableFigures:
    """Builds the table of a space or a search file, writes it, and returns its figures.

    What is not given comes from the search file, of a space from the defaults of `nas measure`.

    Raises:
        ConfigError: the source is neither, its networks do not work under these conditions, or the file
            cannot be written.
    """
    if out is not None:
        _check_writable(out)
    # Conditions, measurement, file, fit.
    wanted = table_request(
        source, num_classes=num_classes, resolution=resolution, batch_size=batch_size, precision=precision
    )
    before = time.perf_counter()
    table = _measured(wanted, console)
    path = out or default_table_path(wanted.conditions)
    write_table(table, path)
    return table_figures(fit_table(table), path=path, seconds=time.perf_counter() - before)


def _check_writable(out: Path) -> None:
    """Before minutes of measuring: the file can be written, and is no other one."""
    if out.is_dir():
        raise ConfigError(f"{out}: this is a folder; --out names the file to write")
    if not os.access(out.parent, os.W_OK):
        raise ConfigError(
            f"{out}: the folder {out.parent} is not there or not writable; choose another --out"
        )
    if out.exists():
        try:
            read_table(out)
        except ConfigError as error:
            raise ConfigError(f"{out}: holds something else than a table; choose another --out") from error


def table_request(
    source: str,
    *,
    num_classes: int | None,
    resolution: int | None,
    batch_size: int | None,
    precision: Precision | None,
) -> BlockMeasurement:
    """The measurement of a space, or of a search file's; conditions not given are the file's or defaults.

    Raises:
        ConfigError: it is neither, its networks do not work at the resolution, or none is within its limits.
    """
    asked = _Asked(num_classes, resolution, batch_size, precision)
    slot = available_slots()[0]
    if _is_search(source):
        # A file that is to be predicted by this table cannot name it yet.
        config = read_yaml(SearchConfig, source, overrides=["step_time=measured"])  # of any reward
        return _request(config.space, config.recipe, _as_in_search(asked, config), slot, source)
    space, known = _space_of(source), _by_default(asked, slot)
    recipe = Recipe(
        epochs=1,
        batch_size=known.batch_size,
        resolution=Ramp(known.resolution, known.resolution),
        averaging_decay=AVERAGING_DECAY,
    )
    return _request(space, recipe, known, slot, source)


@dataclass(frozen=True)
class _Asked:
    """Conditions that a user gives."""

    num_classes: int | None
    resolution: int | None
    batch_size: int | None
    precision: Precision | None


@dataclass(frozen=True)
class _Known:
    """Conditions of the measurement, all of them."""

    num_classes: int
    resolution: int
    batch_size: int
    precision: Precision


def _as_in_search(asked: _Asked, config: SearchConfig) -> _Known:
    recipe, conditions = config.recipe, config.timing
    return _Known(
        num_classes=asked.num_classes or _classes_of(config),
        resolution=asked.resolution or conditions.resolution_for(recipe),
        batch_size=asked.batch_size or conditions.batch_size_for(recipe),
        precision=asked.precision or conditions.precision_for(recipe),
    )


def _by_default(asked: _Asked, slot: Slot) -> _Known:
    return _Known(
        num_classes=asked.num_classes or DEFAULT_CLASSES,
        resolution=asked.resolution or DEFAULT_RESOLUTION,
        batch_size=asked.batch_size or STEP_BATCH[torch.device(slot.device).type],
        precision=asked.precision or "auto",
    )


def _request(space: SearchSpace, recipe: Recipe, known: _Known, slot: Slot, source: str) -> BlockMeasurement:
    device = torch.device(slot.device)
    with refused_as(source):
        check_resolution(space.reference, known.resolution)
        check_resolution(space.decode(space.smallest()), known.resolution)
        choices = space.choice_space(num_classes=known.num_classes, resolution=known.resolution)
        choices.sample(np.random.default_rng(0))  # raises if nothing is within the limits
    with using_threads(threads_of_trials(device)):
        precision = precision_of_trials(known.precision, recipe, device, reference=space.reference).precision
    conditions = table_conditions(
        space,
        recipe,
        device_name=device_info(slot).device_name,
        precision=precision,
        batch_size=known.batch_size,
        resolution=known.resolution,
        num_classes=known.num_classes,
        kernels=kernels_of_steps(device, precision),
    )
    return BlockMeasurement(space=space, conditions=conditions, recipe=recipe, device=device)


def _is_search(source: str) -> bool:
    """True of a file that looks like a search file, or the name of a shipped one."""
    path = Path(source)
    if not path.is_file():
        spaces = {file.stem for file in SearchSpace.SHIPPED.glob("*.yaml")}
        return source not in spaces and source in {file.stem for file in SearchConfig.SHIPPED.glob("*.yaml")}
    return "space" in peek_yaml(path)


def _space_of(source: str) -> SearchSpace:
    published = {file.stem for file in Architecture.SHIPPED.glob("*.yaml")}
    if not Path(source).is_file() and source not in published:
        return read_yaml(SearchSpace, source)
    described = read_described(source)
    if not isinstance(described, SearchSpace):
        raise ConfigError(f"{source}: this is an architecture; --table takes a space or a search file")
    return described


def _classes_of(config: SearchConfig) -> int:
    resolution = config.recipe.last_resolution
    try:
        return open_images(config.data, resolution=resolution).num_classes
    except ValueError as error:
        raise ConfigError(f"data: {error}; or give the number of classes by --classes") from error


def _measured(wanted: BlockMeasurement, console: Console) -> BlockTable:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total} networks"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    if wanted.device.type == "cpu":
        keep_freed_memory()
    try:
        with (
            Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars,
            using_threads(threads_of_trials(wanted.device)),
            bounded_on(wanted.device),
        ):
            task, lock = bars.add_task("measuring", total=None), lock_of(wanted.device)

            def show(done: int, total: int) -> None:
                bars.update(task, completed=done, total=total, description="measuring")

            def wait(seconds: float) -> None:
                bars.update(task, description=f"waiting for the device, {seconds:.0f} s")

            with training(lock, wait):  # as while a trial is built; each network is timed alone
                return measure_block_times(
                    wanted,
                    provenance=_provenance(),
                    on_progress=show,
                    alone=partial(timing, lock, wait),
                )
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise ConfigError(
            "a training step of one of the space's networks does not fit into memory; try a smaller "
            "--batch-size or --resolution"
        ) from error


def _provenance() -> dict[str, object]:
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "numpy": version("numpy"),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version() if torch.cuda.is_available() else None,
        "torch_threads": torch.get_num_threads(),
    }

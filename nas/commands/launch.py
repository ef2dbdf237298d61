"""Executor and images of a search, by the words of the command line."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from analysis.numbers import counted
from nas.commands.options import Executor
from nas.screens.bars import bar, bars_of
from nas.screens.terminal import print_notes
from nas.search.config import SearchConfig
from nas.search.refused_images import refused_images
from search_spaces.settings.config_error import ConfigError
from trials.devices.device import available_slots, device_info
from trials.devices.device_errors import DeviceLostError
from trials.devices.mps import START, mps_runs
from trials.devices.visible_gpus import unseen_words
from trials.executors.in_process import in_process as execute_in_process
from trials.executors.local_slots import local_slots
from trials.executors.ray_actors import ray_actors
from trials.executors.ray_local import RayLostError
from trials.executors.timing_places import ANY, check_devices
from trials.images.config import DataConfig
from trials.images.packed import TrialImages
from trials.images.recipe_images import packings
from trials.kernels.cpu_library import needs_compiling, why_not
from trials.log.continuing import continue_command
from trials.log.run_folder import is_run
from trials.log.run_reader import read_run
from trials.recipe import Recipe
from trials.trial import Execute


def timing_device(config: SearchConfig, run: Path) -> str | None:
    """The model of device on which step times count: as the file says, else as in the run's rows so far.

    None: the workers' own. ANY where they are predicted.
    """
    if config.step_time == "predicted":
        return ANY
    if config.timing.device is not None or not is_run(run):
        return config.timing.device
    return next((row["timing_device"] for row in read_run(run).trials.values() if row["timing_device"]), None)


def executor_of(
    executor: Executor,
    *,
    workers: int | None,
    ray_address: str | None,
    timing_device: str | None,
    stall_seconds: float,
    per_device: int = 1,
) -> tuple[Execute, str]:
    """Executor of trials by the command line's words, and its place in words.

    Raises:
        ConfigError: the words contradict each other; WrongDeviceError: no device counts for timing.
    """
    if ray_address is None:
        check_devices([device_info(slot).device_name for slot in available_slots()[:workers]], timing_device)
    unseen = f"; {words}" if ray_address is None and (words := unseen_words()) else ""
    if executor is Executor.IN_PROCESS:
        several = {"--workers": workers or 1, "--per-device": per_device}
        typed = [f"{option} {number}" for option, number in several.items() if number > 1]
        typed += [f"--ray-address {ray_address}"] if ray_address is not None else []
        if typed:
            raise ConfigError(f"--in-process runs one trial at a time: leave out {' and '.join(typed)}")
        return execute_in_process(timing_device=timing_device), f"in this process{unseen}"
    if executor is Executor.RAY_TUNE and per_device > 1:
        raise ConfigError("--executor ray_tune has one worker on each device: leave out --per-device")
    if ray_address is not None:
        if executor is Executor.RAY_TUNE:
            from trials.executors.ray_tune import ray_tune  # loads Ray Tune, which takes seconds

            execute = ray_tune(workers=workers, address=ray_address, timing_device=timing_device)
            return execute, f"Ray Tune at {ray_address}"
        execute = ray_actors(
            workers=workers,
            address=ray_address,
            timing_device=timing_device,
            per_device=per_device,
            stall_seconds=stall_seconds,
        )
        return execute, f"Ray at {ray_address}"
    slots = local_slots(workers, per_device)
    count = len(slots)
    if executor is Executor.RAY_TUNE:
        from trials.executors.ray_tune import ray_tune

        execute = ray_tune(workers=count, timing_device=timing_device)
        return execute, f"{counted(count, 'worker')} of Ray Tune{unseen}"
    execute = ray_actors(
        workers=count, timing_device=timing_device, per_device=per_device, stall_seconds=stall_seconds
    )
    gpus = sum(slot.device.startswith("cuda") for slot in slots)
    return execute, f"{counted(count, 'worker')}{shared_gpu_words(per_device, gpus=gpus)}{unseen}"


@contextmanager
def continuable(run: Path) -> Iterator[None]:
    """Adds the command that continues to the error of a begun search that loses Ray or its device."""
    try:
        yield
    except (RayLostError, DeviceLostError) as error:
        if not is_run(run):
            raise
        raise type(error)(f"{error}\nthis continues:\n  {continue_command(run)}") from error


def shared_gpu_words(per_device: int, *, gpus: int) -> str:
    """Words for several workers on each GPU here: whether CUDA lets them compute at once."""
    if per_device == 1 or not gpus:
        return ""
    if mps_runs():
        return f", {per_device} on each GPU, which compute at once (MPS)"
    return f", {per_device} on each GPU, which take turns: {START} lets them compute at once"


def compile_kernels(console: Console) -> None:
    """Compiles this processor's kernels before workers wait for them, and shows that on a terminal."""
    if any(slot.device == "cpu" for slot in available_slots()) and needs_compiling():
        with console.status("compiling kernels for this processor, once"):
            why_not()


def packed_images(config: SearchConfig, console: Console, *, advice: str | None = None) -> TrialImages:
    """The packed images at the largest resolution of the recipe; all are packed, with a bar for each.

    Args:
        advice: what to do where there are no images at all.

    Raises:
        SettingError: the images cannot be used.
    """
    with refused_images(advice=advice):
        packs = packed(config.data, config.recipe, console)
    images = max(packs, key=lambda pack: (len(pack.train), pack.resolution))
    print_notes(console, "data", images.all_notes())
    return images


def packed(data: DataConfig, recipe: Recipe, console: Console) -> list[TrialImages]:
    """All packs that a recipe needs, damaged ones made again; a bar for each while images are decoded.

    Raises:
        ValueError: the images cannot be used.
    """
    packs = []  # held, so that a large source is listed once
    with bars_of(console) as bars:
        for words, opened in packings(data, recipe):
            with bar(bars, words) as move:
                packs.append(opened(verify=True, on_progress=move))
    return packs

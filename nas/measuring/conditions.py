"""Conditions under which networks are measured side by side: device, threads, precision, sizes."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from search_spaces.choices.described import read_described
from search_spaces.networks.architecture import Architecture
from search_spaces.networks.provenance import DEFAULT_CLASSES, DEFAULT_RESOLUTION, provenance_number
from search_spaces.networks.resolutions import check_resolution
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.setting_errors import refused_as
from search_spaces.settings.yaml_files import read_yaml
from trials.devices.device import available_slots, device_info, lock_of
from trials.devices.device_errors import is_out_of_memory
from trials.devices.memory_bound import bounded_on
from trials.devices.sharing import training
from trials.devices.threads import threads_of_trials, using_threads
from trials.recipe import Precision, Recipe
from trials.timing.module_check import classes_of
from trials.timing.module_source import ModuleSource, is_module_source, module_source, source_of
from trials.timing.precision import choose_precision
from trials.timing.step_conditions import StepConditions
from trials.timing.step_memory import step_recipe

STEP_BATCH = {"cpu": 32, "cuda": 256}
PROBED = "efficientnetv2-b0"  # by whose step a precision is chosen where no architecture is measured


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """Conditions of a measurement, the same for all networks."""

    device: torch.device
    device_name: str
    threads: int | None  # of a CPU, as in trials; None on a GPU
    precision: str
    precision_reason: str
    num_classes: int
    resolution: int
    batch_size: int
    recipe: Recipe | None = None  # of the steps, its optimizer and averages; None: that of measurements

    @property
    def steps(self) -> StepConditions:
        """Conditions of training steps by the recipe."""
        return StepConditions(
            recipe=self.recipe or step_recipe(batch_size=self.batch_size, resolution=self.resolution),
            precision=self.precision,
            num_classes=self.num_classes,
            resolution=self.resolution,
            batch_size=self.batch_size,
            device=self.device,
        )


@dataclass(frozen=True)
class NamedNetwork:
    """A network to measure, by the name it was given."""

    name: str
    architecture: Architecture


def read_networks(sources: Sequence[str | Callable[..., Any]]) -> list[NamedNetwork | ModuleSource]:
    """The architectures of files and published names, and networks as `module_source` names them.

    Args:
        sources: instead of a name also a class, or a function, that gives a network.

    Raises:
        ConfigError: one is none of these, or a space.
    """
    networks: list[NamedNetwork | ModuleSource] = []
    for source in sources:
        if not isinstance(source, str):
            networks.append(source_of(source))
            continue
        if is_module_source(source):
            networks.append(module_source(source))
            continue
        described = read_described(source)
        if not isinstance(described, Architecture):
            raise ConfigError(f"{source}: this is a space; nas measure takes networks")
        networks.append(NamedNetwork(Path(source).stem if source.endswith(".yaml") else source, described))
    return networks


def conditions_for(
    networks: Sequence[NamedNetwork | ModuleSource],
    *,
    num_classes: int | None,
    resolution: int | None,
    batch_size: int | None,
    precision: Precision | None,
    on_wait: Callable[[float], object] = lambda seconds: None,
) -> Conditions:
    """The given conditions; others come from the first network's provenance, else from the first device.

    A first network that is no architecture has the classes that it gives, which it computes while no other
    process times something on the device; `on_wait` gets the seconds for which it has waited.

    Raises:
        ConfigError: the resolution is too small for one of the networks, or the first one gives no logits.
    """
    slot = available_slots()[0]
    device = torch.device(slot.device)
    resolution = resolution or _from_first(networks[0], "resolution", DEFAULT_RESOLUTION)
    architectures = [network for network in networks if isinstance(network, NamedNetwork)]
    for network in architectures:
        with refused_as(network.name):
            check_resolution(network.architecture, resolution)
    threads = threads_of_trials(device)
    with using_threads(threads):
        if num_classes is None and isinstance(first := networks[0], ModuleSource):
            with training(lock_of(device), on_wait), fitting_weights(first.name, device):
                num_classes = classes_of(first, resolution=resolution, device=device)
        chosen = choose_precision(
            precision or "auto",
            device,
            reference=architectures[0].architecture if architectures else read_yaml(Architecture, PROBED),
            resolution=resolution,
        )
    return Conditions(
        device=device,
        device_name=device_info(slot).device_name,
        threads=threads,
        precision=chosen.precision,
        precision_reason=chosen.why,
        num_classes=num_classes or _from_first(networks[0], "num_classes", DEFAULT_CLASSES),
        resolution=resolution,
        batch_size=batch_size or STEP_BATCH[device.type],
    )


def _from_first(first: NamedNetwork | ModuleSource, key: str, default: int) -> int:
    if isinstance(first, ModuleSource):
        return default
    return provenance_number(first.architecture, key, default, name=first.name)


@contextmanager
def fitting_weights(name: str, device: torch.device) -> Iterator[None]:
    """Says of memory that runs out within the block that the network's weights do not fit."""
    try:
        with bounded_on(device):
            yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise ConfigError(f"{name}: its weights do not fit into the memory here") from error

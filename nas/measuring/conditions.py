"""Conditions under which networks are measured side by side: device, threads, precision, sizes."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from search_spaces.choices.described import read_described
from search_spaces.networks.architecture import Architecture
from search_spaces.networks.network import check_resolution
from search_spaces.networks.provenance import DEFAULT_CLASSES, DEFAULT_RESOLUTION, provenance_number
from search_spaces.settings.setting_errors import refused_as
from search_spaces.settings.yaml_files import ConfigError
from trials.devices.device import available_slots, device_info
from trials.devices.threads import threads_of_trials, using_threads
from trials.recipe import Precision, Recipe
from trials.timing.precision import choose_precision
from trials.timing.step_conditions import StepConditions
from trials.timing.step_memory import step_recipe

STEP_BATCH = {"cpu": 32, "cuda": 256}


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


def read_networks(sources: Sequence[str]) -> list[NamedNetwork]:
    """The architectures of files and published names.

    Raises:
        ConfigError: one is neither, or a space.
    """
    networks = []
    for source in sources:
        described = read_described(source)
        if not isinstance(described, Architecture):
            raise ConfigError(f"{source}: this is a space; nas measure takes architectures")
        networks.append(NamedNetwork(Path(source).stem if source.endswith(".yaml") else source, described))
    return networks


def conditions_for(
    networks: Sequence[NamedNetwork],
    *,
    num_classes: int | None,
    resolution: int | None,
    batch_size: int | None,
    precision: Precision | None,
) -> Conditions:
    """The given conditions; others come from the first network's provenance, else from the first device.

    Raises:
        ConfigError: the resolution is too small for one of the networks.
    """
    first = networks[0]
    from_file = partial(provenance_number, first.architecture, name=first.name)
    slot = available_slots()[0]
    device = torch.device(slot.device)
    num_classes = num_classes or from_file("num_classes", DEFAULT_CLASSES)
    resolution = resolution or from_file("resolution", DEFAULT_RESOLUTION)
    for network in networks:
        with refused_as(network.name):
            check_resolution(network.architecture, resolution)
    threads = threads_of_trials(device)
    with using_threads(threads):
        chosen = choose_precision(
            precision or "auto", device, reference=first.architecture, resolution=resolution
        )
    return Conditions(
        device=device,
        device_name=device_info(slot).device_name,
        threads=threads,
        precision=chosen.precision,
        precision_reason=chosen.why,
        num_classes=num_classes,
        resolution=resolution,
        batch_size=batch_size or STEP_BATCH[device.type],
    )

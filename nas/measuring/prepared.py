"""Networks that are ready to be measured: architectures of ours, and any others that were tried."""

from collections.abc import Sequence
from dataclasses import dataclass

from nas.measuring.conditions import Conditions, NamedNetwork, fitting_weights
from search_spaces.networks.architecture import Architecture
from search_spaces.networks.counting import count
from search_spaces.networks.module_counts import ModuleCounts
from trials.timing.module_check import CheckedModule, MemoryLayout, checked_module, try_step
from trials.timing.module_source import ModuleSource


@dataclass(frozen=True)
class Prepared:
    """A network by its name, with its counts, and what its training step is built from.

    Attributes:
        architecture_id: None of a network that is no architecture of ours.
        layout, layout_reason: as of `CheckedModule`.
    """

    name: str
    network: Architecture | CheckedModule
    counts: ModuleCounts
    architecture_id: str | None = None
    layout: MemoryLayout = "channels_last"
    layout_reason: str | None = None


def prepare(networks: Sequence[NamedNetwork | ModuleSource], conditions: Conditions) -> list[Prepared]:
    """Counts all networks, and tries those that are not ours, before the first one is measured.

    Raises:
        ConfigError: one cannot be measured; its weights do not fit into memory.
    """
    return [
        _of_ours(network, conditions) if isinstance(network, NamedNetwork) else _of_any(network, conditions)
        for network in networks
    ]


def _of_ours(network: NamedNetwork, conditions: Conditions) -> Prepared:
    counts = count(network.architecture, num_classes=conditions.num_classes, resolution=conditions.resolution)
    found = ModuleCounts(counts.params, 0, counts.macs, counts.activations)
    return Prepared(
        network.name, network.architecture, found, architecture_id=network.architecture.architecture_id
    )


def _of_any(source: ModuleSource, conditions: Conditions) -> Prepared:
    with fitting_weights(source.name, conditions.device):
        checked = checked_module(
            source,
            num_classes=conditions.num_classes,
            resolution=conditions.resolution,
            device=conditions.device,
        )
        try_step(checked, resolution=conditions.resolution, step=lambda: conditions.steps.step(checked))
    return Prepared(
        source.name,
        checked,
        checked.counts,
        layout=checked.layout,
        layout_reason=checked.layout_reason,
    )

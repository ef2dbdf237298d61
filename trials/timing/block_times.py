"""Measures the times of all blocks of a space, from which the step time of any of its networks is predicted.

A few networks that together contain every block are timed part by part, inside the real training step. Some
uniformly drawn networks are then timed as wholes, as a trial does; they show how far sums of parts are off.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch

from search_spaces.choices.block_cover import covering_networks
from search_spaces.choices.space import SearchSpace
from search_spaces.networks.architecture import Architecture
from search_spaces.networks.resolutions import check_resolution
from trials.devices.device import give_back_freed_memory
from trials.recipe import Recipe
from trials.timing.alternating import EARLIEST_END, Clock
from trials.timing.block_table import BlockTable, PartedNetwork, TableConditions, WholeNetwork, space_id
from trials.timing.step_conditions import StepConditions
from trials.timing.step_parts import measure_step_parts
from trials.timing.step_time import TimedStep, measure_step_time
from trials.trial import Kernels

COVERS = 2  # sets of networks that contain every block
WHOLE_NETWORKS = 10  # networks timed as wholes; two more parameters of the fit would need ten more
WHOLE_SECONDS = 20.0  # for each of them, about
DRAWS = 1000  # attempts to find one more distinct network; then a small space is drawn from again

OnProgress = Callable[[int, int], None]
Alone = Callable[[], AbstractContextManager[object]]


@dataclass(frozen=True, kw_only=True)
class BlockMeasurement:
    """The settings of a measurement of block times."""

    space: SearchSpace
    conditions: TableConditions
    recipe: Recipe  # batch size, optimizer, averaging and drop rates; as in the search's trials
    device: torch.device
    covers: int = COVERS
    whole_networks: int = WHOLE_NETWORKS
    seed: int = 0


def table_conditions(
    space: SearchSpace,
    recipe: Recipe,
    *,
    device_name: str,
    precision: str,
    batch_size: int,
    resolution: int,
    num_classes: int,
    kernels: Kernels,
) -> TableConditions:
    """The conditions under which the times of a table hold, for steps by this recipe."""
    return TableConditions(
        space_id=space_id(space),
        device_name=device_name,
        precision=precision,  # type: ignore[arg-type]  # checked when it is built
        batch_size=batch_size,
        resolution=resolution,
        num_classes=num_classes,
        averages_weights=recipe.averaging_decay > 0,
        drops_branches=recipe.stochastic_depth > 0,
        torch=torch.__version__,
        kernels=kernels,
        optimizer=recipe.optimizer,
    )


def measure_block_times(
    wanted: BlockMeasurement,
    *,
    provenance: dict[str, object] | None = None,
    clock: Clock | None = None,
    on_progress: OnProgress = lambda done, total: None,
    alone: Alone = nullcontext,
) -> BlockTable:
    """Measures all blocks of the space, which takes minutes; torch's generators are restored.

    The caller sets the number of threads.

    Args:
        alone: makes a block in which nobody else uses the device. Each network is measured in one of its own,
            so that others wait for seconds, not minutes.

    Raises:
        ValueError: a network of the space does not work at the resolution.
    """
    check_resolution(wanted.space.reference, wanted.conditions.resolution)
    state = torch.get_rng_state()
    try:
        timer = BlockTimer(wanted, clock, alone)
        covers, drawn = covering(wanted), drawn_networks(wanted, wanted.whole_networks)
        total = len(covers) + len(drawn)
        parted, whole = [], []
        on_progress(0, total)
        for architecture in covers:
            parted.append(timer.parted(architecture))
            on_progress(len(parted), total)
        for architecture in drawn:
            whole.append(timer.whole(architecture))
            on_progress(len(parted) + len(whole), total)
    finally:
        torch.set_rng_state(state)
    return BlockTable(
        conditions=wanted.conditions,
        space=wanted.space,
        parted=tuple(parted),
        whole=tuple(whole),
        provenance=dict(provenance or {}),
    )


class BlockTimer:
    """Times networks, in parts and as wholes, beside the reference network, which is built only once."""

    def __init__(self, wanted: BlockMeasurement, clock: Clock | None, alone: Alone = nullcontext) -> None:
        self.clock, self.alone = clock, alone
        self.warm_reference = False
        self.conditions = StepConditions(
            recipe=wanted.recipe,
            precision=wanted.conditions.precision,
            num_classes=wanted.conditions.num_classes,
            resolution=wanted.conditions.resolution,
            batch_size=wanted.conditions.batch_size,
            device=wanted.device,
        )
        self.batch = self.conditions.batch()
        self.reference = TimedStep(self.conditions.step(wanted.space.reference), self.batch)

    def parted(self, architecture: Architecture) -> PartedNetwork:
        """Times the parts of a network's step."""
        step = self.conditions.step(architecture)
        with self.alone():
            parts = measure_step_parts(
                step, self.reference, self.batch, clock=self.clock, warm_reference=self.warm_reference
            )
        self.warm_reference = True
        del step
        give_back_freed_memory()  # as between trials, so that the next network finds memory in the same state
        return PartedNetwork(architecture=architecture, parts=parts)

    def whole(self, architecture: Architecture) -> WholeNetwork:
        """Times a network's step as a whole, as in a trial."""
        step = TimedStep(self.conditions.step(architecture), self.batch).prepare()
        with self.alone():
            measured = measure_step_time(
                step,
                self.reference,
                self.batch,
                clock=self.clock,
                max_seconds=WHOLE_SECONDS,
                fewest_rounds=EARLIEST_END,
            )
        del step
        give_back_freed_memory()
        return WholeNetwork(
            architecture=architecture,
            step_time_ratio=measured.step_time_ratio,
            step_time_ratio_spread=measured.step_time_ratio_spread,
            timing_flag=measured.flag,
        )


def covering(wanted: BlockMeasurement) -> list[Architecture]:
    """The networks to be timed part by part; every block is in at least `covers` of them."""
    rngs = [np.random.default_rng([wanted.seed, 0, cover]) for cover in range(wanted.covers)]
    resolution = wanted.conditions.resolution
    return [a for rng in rngs for a in covering_networks(wanted.space, resolution=resolution, rng=rng)]


def drawn_networks(wanted: BlockMeasurement, number: int) -> list[Architecture]:
    """Uniformly drawn networks, distinct if the space has enough; a smaller number gives the first ones."""
    conditions, space = wanted.conditions, wanted.space
    choices = space.choice_space(num_classes=conditions.num_classes, resolution=conditions.resolution)
    rng = np.random.default_rng([wanted.seed, 1])
    found: list[Architecture] = []
    for _ in range(number):
        new = (space.decode(choices.sample(rng)) for _ in range(DRAWS))
        found.append(next((a for a in new if a not in found), None) or space.decode(choices.sample(rng)))
    return found

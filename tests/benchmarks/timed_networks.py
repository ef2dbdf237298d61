"""What the step-time benchmarks share: networks by seed, conditions as in a trial, one visit, tables."""

import argparse
import json
import statistics
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from search_spaces.choices.space import SearchSpace
from search_spaces.networks.architecture import Architecture
from search_spaces.networks.network import build_network
from trials.devices.device import available_cores, claim, cpu_name, give_back_freed_memory, lock_of
from trials.devices.device_lock import DeviceLock
from trials.measurement import StepTime
from trials.recipe import Ramp, Recipe
from trials.timing.precision import choose_precision
from trials.timing.step_time import measure_step_time
from trials.timing.trial_timing import TIMING_ROUNDS, TIMING_SECONDS, TIMING_SHARE
from trials.training.step import TrainingStep
from trials.training.synthetic_batch import SyntheticBatch
from trials.trial import Slot

SEED = 24
NUM_CLASSES = 10


def drawn(space: SearchSpace, number: int) -> list[Architecture]:
    """So many different architectures, uniform over the space; always the same."""
    seen, rng = space.choice_space(), np.random.default_rng(SEED)
    found: dict[str, Architecture] = {}
    while len(found) < number:
        architecture = space.decode(seen.sample(rng))
        found.setdefault(architecture.architecture_id, architecture)
    return list(found.values())


def add_conditions(parser: argparse.ArgumentParser) -> None:
    """The flags that all step-time benchmarks have."""
    parser.add_argument("--resolution", type=int, default=32)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--precision", choices=["auto", "fp32", "bf16"], default="auto")
    parser.add_argument("--device", default="cuda:0" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--core", type=int, default=available_cores()[0], help="to which a CPU is bound")
    parser.add_argument("--steps", type=int, default=3500, help="of the trial that the timing belongs to")
    parser.add_argument("--json", type=Path)


@dataclass(frozen=True)
class Bench:
    """One device, claimed by this process, and the conditions under which networks are timed there."""

    reference: Architecture
    arguments: argparse.Namespace

    @cached_property
    def device(self) -> torch.device:
        return claim(Slot(index=0, device=self.arguments.device, core=self.arguments.core))

    @cached_property
    def lock(self) -> DeviceLock:
        return lock_of(self.device)

    @cached_property
    def precision(self) -> str:
        return choose_precision(
            self.arguments.precision,
            self.device,
            reference=self.reference,
            resolution=self.arguments.resolution,
        ).precision

    @cached_property
    def batch(self) -> SyntheticBatch:
        return SyntheticBatch.random(
            batch_size=self.arguments.batch_size,
            resolution=self.arguments.resolution,
            num_classes=NUM_CLASSES,
            device=self.device,
        )

    @cached_property
    def reference_step(self) -> TrainingStep:
        return self.step(self.reference)

    def step(self, architecture: Architecture) -> TrainingStep:
        """A network with fresh weights, and what trains it."""
        resolution = float(self.arguments.resolution)
        recipe = Recipe(
            epochs=1, batch_size=self.arguments.batch_size, resolution=Ramp(resolution, resolution)
        )
        network = build_network(architecture, num_classes=NUM_CLASSES)
        return TrainingStep(network, recipe, device=self.device, precision=self.precision)

    def visit(self, architecture: Architecture) -> StepTime:
        """The network's step time, measured as in a trial; what the visit took is given back."""
        _ = self.reference_step
        try:
            return measure_step_time(
                self.step(architecture),
                self.reference_step,
                self.batch,
                max_seconds=TIMING_SECONDS,
                max_calls=TIMING_SHARE * self.arguments.steps,
                fewest_rounds=TIMING_ROUNDS,
            )
        finally:
            give_back_freed_memory()

    @cached_property
    def facts(self) -> dict[str, Any]:
        """Hardware, versions and conditions."""
        name = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else cpu_name()
        return {"device_name": name, "torch": torch.__version__, "computed_in": self.precision}

    @property
    def headline(self) -> str:
        a = self.arguments
        return (
            f"{self.facts['device_name']}, torch {self.facts['torch']}, {self.precision}, {a.resolution} px, "
            f"batch {a.batch_size}"
        )

    def write(self, table: dict[str, Any]) -> None:
        """Everything as JSON, where that was asked for."""
        if self.arguments.json:
            facts = {**self.facts, **vars(self.arguments)}
            self.arguments.json.write_text(json.dumps({**facts, **table}, indent=1, default=str))


def variation(values: list[float]) -> float:
    """Standard deviation over mean."""
    return statistics.stdev(values) / statistics.mean(values)


def percent(value: float) -> str:
    """A share to two figures."""
    return f"{100 * value:.2f} %"

"""One device on which training steps and forward passes of any network are timed, ours or another's."""

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from search_spaces.networks.architecture import Architecture
from search_spaces.settings.yaml_files import read_yaml
from trials.devices.device import (
    available_slots,
    device_info,
    give_back_freed_memory,
    keep_freed_memory,
    lock_of,
)
from trials.devices.device_errors import is_out_of_memory
from trials.devices.memory_bound import bounded_on
from trials.devices.threads import threads_of_trials, using_threads
from trials.timing.inference_time import measure_inference_time
from trials.timing.precision import choose_precision
from trials.timing.step_memory import step_recipe
from trials.timing.step_time import measure_step_time
from trials.training.step import TrainingStep
from trials.training.synthetic_batch import SyntheticBatch

OUT_OF_MEMORY = "oom"


def add_timing(parser: argparse.ArgumentParser) -> None:
    """The flags of commands that time."""
    parser.add_argument("--precision", choices=["auto", "fp32", "bf16"], default="auto")
    parser.add_argument("--max-seconds", type=float, default=10.0, help="of one figure, about")
    parser.add_argument("--classes", type=int, default=1000)


@dataclass(frozen=True)
class Timed:
    """Seconds of one call, median, with p10 and p90; `flag`: why it should be doubted."""

    seconds: float
    p10: float
    p90: float
    rounds: int
    flag: str | None


class PaperBench:
    """The first device here; a CPU computes with one thread, as in trials, and tells its own time."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        slot = available_slots()[0]
        self.device, self.device_name = torch.device(slot.device), device_info(slot).device_name
        self.on_cpu = self.device.type == "cpu"
        self.max_seconds: float = 0.05 if arguments.quick else arguments.max_seconds
        self.num_classes: int = arguments.classes
        if self.on_cpu:
            keep_freed_memory()
        reference = read_yaml(Architecture, "efficientnet-b0")
        nothing_timed = getattr(arguments, "no_timing", False)
        probes = not (arguments.quick and self.on_cpu) and not nothing_timed
        precision = arguments.precision if probes else "fp32"
        self.precision = choose_precision(
            precision, self.device, reference=reference, resolution=64
        ).precision
        self.lock = lock_of(self.device)

    @property
    def headline(self) -> str:
        """The hardware and how it computes."""
        threads = ", one thread" if self.on_cpu else ""
        return f"{self.device_name}{threads}, torch {torch.__version__}, {self.precision}"

    @property
    def facts(self) -> dict[str, Any]:
        """The same for a row of CSV."""
        return {
            "device_name": self.device_name, "precision": self.precision, "torch": torch.__version__
        }  # fmt: skip

    def step_seconds(
        self, build: Callable[[], nn.Module], *, resolution: int, batch_size: int
    ) -> Timed | str:
        """Of a training step: forward, loss, backward, update; or that it does not fit into memory."""

        def measure() -> Timed:
            recipe = step_recipe(batch_size=batch_size, resolution=resolution)
            network: Any = build()  # all that a step asks of it is to be a module
            step = TrainingStep(network, recipe, device=self.device, precision=self.precision)
            batch = SyntheticBatch.random(
                batch_size=batch_size, resolution=resolution, num_classes=self.num_classes, device=self.device
            )
            found = measure_step_time(step, None, batch, max_seconds=self.max_seconds)
            return Timed(
                found.step_seconds, found.step_seconds_p10, found.step_seconds_p90, found.rounds, found.flag
            )

        return self._fitting(measure)

    def inference_seconds(
        self, build: Callable[[], nn.Module], *, resolution: int, batch_size: int
    ) -> Timed | str:
        """Of a forward pass in evaluation mode; or that it does not fit into memory."""

        def measure() -> Timed:
            network = build().to(self.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            found = measure_inference_time(
                network,
                None,
                batch_size=batch_size,
                resolution=resolution,
                device=self.device,
                precision=self.precision,
                max_seconds=self.max_seconds,
            )
            return Timed(
                found.inference_seconds,
                found.inference_seconds_p10,
                found.inference_seconds_p90,
                found.rounds,
                found.flag,
            )

        return self._fitting(measure)

    def _fitting(self, measure: Callable[[], Timed]) -> Timed | str:
        torch.manual_seed(0)
        try:
            with self._alone():
                return measure()
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            return OUT_OF_MEMORY
        finally:
            give_back_freed_memory()
            if not self.on_cpu:
                torch.cuda.empty_cache()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with (
            using_threads(threads_of_trials(self.device)),
            bounded_on(self.device),
            self.lock.timing(),
        ):
            yield


def images_per_second(timed: Timed | str, batch_size: int) -> float | str:
    """Of a whole batch; what did not fit stays what it is."""
    return timed if isinstance(timed, str) else batch_size / timed.seconds


def milliseconds(timed: Timed | str) -> float | str:
    """Of one call."""
    return timed if isinstance(timed, str) else 1000 * timed.seconds

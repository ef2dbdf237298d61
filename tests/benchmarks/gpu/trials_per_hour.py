"""Whole trials of the cifar space against a plain script and a good one on the same GPU.

The same networks, images, batch and epochs on all sides, in turn; a trial's set-up and its evaluation count.
What is paid once for many trials (processes, decoding, images on the device) counts on no side. Step time is
not measured in these trials, as the others do not measure it. Trials have the recipe's ten epochs where three
rounds of that fit the time, and fewer on all sides where they do not.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.gpu.conditions import Conditions
from benchmarks.gpu.drawn_networks import drawn
from benchmarks.gpu.figures import Row, several
from benchmarks.gpu.made_up_images import CLASSES, IMAGES, MINIVAL, REHEARSED, data_config, image_file
from benchmarks.trial_throughput import UNMEASURED

from search_spaces.networks.architecture import Architecture
from search_spaces.settings.yaml_files import read_yaml, to_mapping
from trials.devices.device import available_cores, available_slots
from trials.images.config import DataConfig
from trials.recipe import Recipe
from trials.run_trial import start_worker
from trials.trial import RunTrial, Trial, TrialResult
from trials.worker_setup import WorkerSetup

OTHERS = ("plain", "good", "compiled")
EPOCHS = (10, 5, 2, 1)
ROUNDS_WANTED, NETWORKS = 3, 12
MARGIN = 0.8  # of the time left that rounds may fill

Side = Callable[
    [Architecture, int], dict[str, Any]
]  # network and epochs to seconds and accuracy, or an error


def measure(conditions: Conditions) -> Iterator[Row]:
    """Yields our rate at the recipe's length, then rates and ratios of all sides."""
    chosen = drawn(conditions, conditions.sized(NETWORKS, 2))
    recipe = read_yaml(Recipe, "proxy_cifar")
    if conditions.rehearse:
        recipe = replace(recipe, epochs=1, batch_size=32)
    ours = _ours(recipe, data_config(conditions), chosen[0])
    # Step 1: ours as a search trains, after one epoch that warms up.
    first = {"ours": ours(chosen[-1], 1)}
    if "error" in first["ours"]:
        raise RuntimeError(f"our own trial failed: {first['ours']['error']}")
    taken = [ours(architecture, recipe.epochs)["seconds"] for architecture in chosen[:3]]
    per_hour = several([3600 / seconds for seconds in taken])
    yield Row(
        f"ours, {recipe.epochs} epochs of {_images(conditions):,} images",
        {"trials/h": per_hour, "s a trial": several(taken), "precision": conditions.precision},
        f"{per_hour.median:,.0f} whole trials an hour ({recipe.epochs} epochs of {_images(conditions):,} "
        f"images at 32 px, n = {per_hour.n})",
    )
    with ExitStack() as stack:
        sides: dict[str, Side] = {"ours": ours}
        for name in OTHERS:
            sides[name] = stack.enter_context(Script(name, conditions, recipe))
        # Step 2: one epoch on each other side warms up, another one tells what a round takes.
        first |= {name: sides[name](chosen[-1], 1) for name in OTHERS}
        print(f"warm-up: {first}", flush=True)
        for name in [name for name, found in first.items() if "error" in found]:
            yield Row(name, {"does not run here": first[name]["error"]})
            del sides[name]
        pilot = {name: side(chosen[-1], 1)["seconds"] for name, side in sides.items() if name != "compiled"}
        cost = Cost.of(pilot, compiled=first["compiled"]["seconds"] if "compiled" in sides else None)
        # Step 3: all sides in turn, each round with another network, beginning with another side.
        room = MARGIN * conditions.seconds_left / ROUNDS_WANTED  # seconds of a round
        if cost.compiling > room / 2:
            del sides["compiled"]
            yield Row(
                "compiled",
                {"not in rounds": "compiling takes too much of the time", "s to compile": cost.compiling},
            )
            cost = replace(cost, compiling=0.0)
        epochs = cost.epochs(room, recipe.epochs)
        rounds: list[dict[str, dict[str, Any]]] = []
        for i, architecture in enumerate(chosen):
            started = time.monotonic()
            names = list(sides)[i % len(sides) :] + list(sides)[: i % len(sides)]
            rounds.append({name: sides[name](architecture, epochs) for name in names})
            print(f"round {i + 1}: {rounds[-1]}", flush=True)
            if 1.2 * (time.monotonic() - started) > conditions.seconds_left:
                break
        yield from _rows(rounds, epochs)


def _images(conditions: Conditions) -> int:
    number = conditions.sized(IMAGES, REHEARSED)
    return number - round(MINIVAL * number)


@dataclass(frozen=True)
class Cost:
    """Seconds of a round: of each epoch on all sides, and once of compiling."""

    epoch: float
    compiling: float

    @classmethod
    def of(cls, pilot: Mapping[str, float], *, compiled: float | None) -> "Cost":
        """The cost by the seconds of one epoch on each side.

        `compiled` is that of the compiled script with its compiling, after which its epochs count as those
        of the good one; None: it does not take part.
        """
        if compiled is None:
            return cls(sum(pilot.values()), 0.0)
        alike = pilot.get("good", compiled)
        return cls(sum(pilot.values()) + alike, compiled - alike if compiled > alike else 0.0)

    def epochs(self, room: float, most: int) -> int:
        """The largest of EPOCHS whose round fits into so many seconds; 1 if none does."""
        fitting = (n for n in EPOCHS if n <= most and n * self.epoch + self.compiling < room)
        return next(fitting, 1)


def _rows(rounds: list[dict[str, dict[str, Any]]], epochs: int) -> Iterator[Row]:
    for name in rounds[0]:
        good = [each for each in rounds if "error" not in each[name] and "error" not in each["ours"]]
        if not good:
            yield Row(name, {"does not run here": rounds[0][name]["error"]})
            continue
        rates = several([3600 / each[name]["seconds"] for each in good])
        ratio = several([each[name]["seconds"] / each["ours"]["seconds"] for each in good])
        yield Row(
            f"{name}, {epochs} epochs",
            {
                "trials/h": rates,
                "ours is so many times as fast": ratio,
                "accuracy": several([each[name]["accuracy"] for each in good]),
            },
            None if name == "ours" else
            f"{ratio.median:.2f}x the trials of the {name} script ({ratio.low:.2f} to {ratio.high:.2f}, "
            f"n = {ratio.n} networks, {epochs} epochs)",
        )  # fmt: skip


def _ours(recipe: Recipe, data: DataConfig, reference: Architecture) -> Side:
    """Trials of one worker in this process."""
    worker: RunTrial = start_worker(available_slots()[0], setup=WorkerSetup(data=data, reference=reference))

    def side(architecture: Architecture, epochs: int) -> dict[str, Any]:
        trial = Trial(
            trial_id=0, choices=(), architecture=architecture,
            recipe=replace(recipe, epochs=epochs, warmup_epochs=min(recipe.warmup_epochs, epochs)),
            epochs=epochs, seed=1, step_time=UNMEASURED,
        )  # fmt: skip
        before = time.perf_counter()
        *_, result = worker(trial)
        assert isinstance(result, TrialResult), result
        if result.measurement is None:
            return {"error": f"{result.status}: {result.error}"}
        return {"seconds": time.perf_counter() - before, "accuracy": result.measurement.accuracy_raw}

    return side


class Script:
    """A lasting process of plain_gpu_trials.py."""

    def __init__(self, side: str, conditions: Conditions, recipe: Recipe) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.gpu.plain_gpu_trials", side],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        number = conditions.sized(IMAGES, REHEARSED)
        self._request = {
            "source": str(image_file(conditions)), "images": number, "minival": number - _images(conditions),
            "batch_size": recipe.batch_size, "resolution": 32, "num_classes": CLASSES, "seed": 0,
            "device": str(conditions.device), "loaders": conditions.sized(len(available_cores()), 0),
            "compiler": conditions.sized("inductor", "eager"), "precision": conditions.precision,
        }  # fmt: skip

    def __enter__(self) -> "Script":
        return self

    def __call__(self, architecture: Architecture, epochs: int) -> dict[str, Any]:
        """The script's answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        request = {**self._request, "architecture": to_mapping(architecture), "epochs": epochs}
        try:
            print(json.dumps(request), file=self._process.stdin, flush=True)
        except BrokenPipeError:
            return {"error": f"its process has ended with exit code {self._process.poll()}"}
        line = self._process.stdout.readline()
        return json.loads(line) if line else {"error": f"its process ended: {self._process.wait()}"}

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

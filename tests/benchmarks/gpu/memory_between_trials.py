"""Device memory that stays between the trials of one worker, on the CPU the memory of its process."""

from collections.abc import Iterator
from dataclasses import replace

import torch
from benchmarks.gpu.conditions import Conditions
from benchmarks.gpu.drawn_networks import drawn, space_of
from benchmarks.gpu.figures import Row
from benchmarks.gpu.made_up_images import data_config

from search_spaces.settings.yaml_files import read_yaml
from trials.devices.device import available_slots
from trials.devices.memory_bound import own_bytes
from trials.recipe import Ramp, Recipe
from trials.run_trial import start_worker
from trials.trial import Trial, TrialResult
from trials.worker_setup import WorkerSetup

TRIALS, FRACTION, MIB = 30, 0.05, 2**20
CLOSING = 5.0  # seconds that the last trial must leave


def measure(conditions: Conditions) -> Iterator[Row]:
    """Yields what is held after every fifth trial, and how much it grew since the fifth."""
    number, every = conditions.sized(TRIALS, 2), conditions.sized(5, 1)
    recipe = replace(read_yaml(Recipe, "proxy_cifar"), epochs=1, warmup_epochs=0)
    if conditions.rehearse:
        recipe = replace(recipe, resolution=Ramp(16, 16), batch_size=16)
    worker = start_worker(
        available_slots()[0],
        setup=WorkerSetup(
            data=data_config(conditions, fraction=conditions.sized(FRACTION, 1.0)),
            reference=space_of(conditions).reference,
        ),
    )
    seen: list[tuple[int, float, float]] = []
    for i, architecture in enumerate(drawn(conditions, number), 1):
        trial = Trial(
            trial_id=i, choices=(), architecture=architecture, recipe=recipe, epochs=1, seed=i
        )  # fmt: skip
        *_, result = worker(trial)
        assert isinstance(result, TrialResult), result
        if result.status != "completed":
            raise RuntimeError(f"trial {i} ended as {result.status}: {result.error}")
        if i % every == 0:
            allocated, reserved = held(conditions.device)
            seen.append((i, allocated, reserved))
            yield Row(f"after {i} trials", {"allocated, MiB": allocated, "reserved, MiB": reserved})
        if conditions.seconds_left < CLOSING:
            break
    if len(seen) < 2:
        raise RuntimeError(f"only {i} trials were done in the time; give it more: --minutes")
    (first, *before), (last, *after) = seen[0], seen[-1]
    allocated, reserved = (later - earlier for earlier, later in zip(before, after, strict=True))
    yield Row(
        f"grown from trial {first} to {last}",
        {"allocated, MiB": allocated, "reserved, MiB": reserved},
        f"device memory held between trials grows by {reserved:.0f} MiB reserved, {allocated:.0f} MiB "
        f"allocated, from trial {first} to {last}",
    )


def held(device: torch.device) -> tuple[float, float]:
    """Allocated and reserved MiB of this process on a GPU; on a CPU its memory, twice."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device) / MIB, torch.cuda.memory_reserved(device) / MIB
    resident = (own_bytes("VmRSS") or 0) / MIB
    return resident, resident

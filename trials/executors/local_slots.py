"""The slots of this machine that workers get, and the refusal where there are too few of them."""

from dataclasses import replace

from trials.devices.device import available_slots
from trials.executors.ray_pool import WorkersError
from trials.trial import Slot


def local_slots(
    workers: int | None, per_device: int = 1, *, option: str = "--workers", instead: str = ""
) -> list[Slot]:
    """The first `workers` slots of this machine (None: all), `per_device` on each GPU or core.

    Args:
        option: of the command line, that `workers` came from.
        instead: words on how more can be had, for the refusal.

    Raises:
        WorkersError: there are fewer.
    """
    devices = available_slots()
    kind = "GPU" if devices and devices[0].device.startswith("cuda") else "core"
    if not devices:
        raise WorkersError(f"no {kind} is available to run trials on")
    # Every device gets its first worker before any gets a second.
    slots = [replace(slot, index=i) for i, slot in enumerate(devices * per_device)]
    if workers is not None and workers > len(slots):
        each = "one" if per_device == 1 else f"1/{per_device} of one"
        found = f"is only 1 {kind}" if len(devices) == 1 else f"are only {len(devices)} {kind}s"
        raise WorkersError(
            f"{option} {workers}: there {found}, and each worker takes {each}; "
            f"use {option} {len(slots)} or fewer{instead}"
        )
    return slots[:workers]

"""Tries each GPU of a group before it trains: one that does not compute is named, and not waited for.

Without that the group would lose it when processes meet, again and again, and the others would say only that
somebody is gone.
"""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from analysis.numbers import counted
from trials.devices.visible_gpus import VARIABLE
from trials.executors.ray_member import cause
from trials.executors.ray_pool import WorkersError

LOOK_SECONDS = 120.0  # for all GPUs together, of which loading torch may take half a minute
SIDE = 64


class GpuLook:
    """The actor that tries its GPU."""

    def place(self) -> str:
        """Host and GPU, by its name in CUDA_VISIBLE_DEVICES."""
        return f"GPU {os.environ.get(VARIABLE) or '?'} of {socket.gethostname()}"

    def compute(self) -> None:
        """Computes a product on the GPU.

        Raises:
            RuntimeError: it does not, or the result is wrong.
        """
        import torch

        if not torch.cuda.is_available():
            raise RuntimeError(
                f"torch {torch.__version__} cannot use it: install one with CUDA on every host"
            )
        ones = torch.ones((SIDE, SIDE), device="cuda")
        found = float((ones @ ones).sum())
        if found != SIDE**3:
            raise RuntimeError(f"the sum of {SIDE**3:,} ones is {found:,.0f}")


def check_gpus(number: int, *, seconds: float = LOOK_SECONDS) -> None:
    """Tries `number` GPUs of the connected Ray at once, each in a process of its own.

    Those that Ray has not given to a process within `seconds` are left to Ray Train, which waits for them.

    Raises:
        WorkersError: some do not compute.
    """
    until = time.monotonic() + seconds
    with _actors(number) as actors:
        # Step 1: the places, as the processes start; step 2: the products, as long as there is time.
        places = _answers([actor.place.remote() for actor in actors], until)
        products = _answers([actor.compute.remote() for actor in actors], until)
        dead = []
        for place, product in zip(places, products, strict=True):
            if place is None:
                continue
            where = "a GPU" if isinstance(place, Exception) else place
            if product is None:
                dead.append(f"{where} (no answer within {seconds:.0f} s)")
            elif isinstance(product, Exception):
                dead.append(f"{where} ({_first_line_of(product)})")
    if dead:
        left = number - len(dead)
        others = f"use --devices {left} without them ({VARIABLE}, on a cluster where Ray is started)"
        raise WorkersError(
            f"--devices {number}: {counted(len(dead), 'GPU')} cannot be used: {'; '.join(dead)}; "
            + (f"{others}, or see" if left else "see")
            + " what the kernel's log (dmesg) says of them"
        )


def _first_line_of(error: Exception) -> str:
    return next(iter(cause(error).splitlines()), type(error).__name__)


@contextmanager
def _actors(number: int) -> Iterator[list[Any]]:
    import ray

    look: Any = ray.remote(num_gpus=1, num_cpus=0, max_restarts=0)(GpuLook)
    actors = [look.remote() for _ in range(number)]
    try:
        yield actors
    finally:
        for actor in actors:
            ray.kill(actor)


def _answers(references: list[Any], until: float) -> list[Any]:
    """The result of each, or the error that it raises; None where nothing came in time."""
    import ray
    from ray.exceptions import RayError

    done, _ = ray.wait(
        references, num_returns=len(references), timeout=max(until - time.monotonic(), 0.0), fetch_local=False
    )
    found: list[Any] = []
    for reference in references:
        try:
            found.append((ray.get(reference) or "") if reference in done else None)
        except RayError as error:
            found.append(error)
    return found

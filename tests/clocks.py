"""Clocks that tests set: no verdict depends on what else the machine does, or on how fast it is."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from torch.nn import Module
from torch.nn.modules.module import register_module_forward_hook

from search_spaces.network import Network


class Clock:
    """Seconds that pass when somebody sleeps or works."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def work(self, *seconds: float) -> Callable[[], None]:
        """Work that takes these seconds in turn."""
        calls = 0

        def run() -> None:
            nonlocal calls
            self.now += seconds[calls % len(seconds)]
            calls += 1

        return run


@contextmanager
def modules_that_take(kind: type[Module], seconds: Callable[[Any, int], float]) -> Iterator[Clock]:
    """A block in which a forward pass of modules of that kind takes the seconds of module and images.

    All else takes none: Python's clocks of the processor are replaced. Networks compute as ever.
    """
    clock = Clock()

    def pass_time(module: Module, inputs: tuple[Any, ...], _: object) -> None:
        if isinstance(module, kind):
            clock.sleep(seconds(module, len(inputs[0])))

    hook = register_module_forward_hook(pass_time)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(time, "thread_time", clock)
            patch.setattr(time, "perf_counter", clock)
            yield clock
    finally:
        hook.remove()


passes_that_take = partial(modules_that_take, Network)


def number_of_weights(module: Module) -> int:
    """Parameters of a module."""
    return sum(parameter.numel() for parameter in module.parameters())

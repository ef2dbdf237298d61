"""Defaults of options are the library's own constants, and help names the numbers that the library uses."""

import inspect
from collections.abc import Callable
from typing import Any

import pytest
from conftest import Nas

from nas.commands.measure import TOP
from nas.commands.scale import scale
from nas.commands.search import launch_search, search
from nas.measuring.conditions import STEP_BATCH
from nas.scaling.factors import PAPER
from nas.search.stopping import GRACE_SECONDS
from nas.simulation.compare_strategies import TABLE_TRIALS
from trials.log.disk_wait import DISK_WAIT_SECONDS


@pytest.mark.parametrize(
    ("function", "option", "constant"),
    [
        (search, "grace", GRACE_SECONDS),
        (launch_search, "grace", GRACE_SECONDS),
        (search, "disk_wait", DISK_WAIT_SECONDS),
        (launch_search, "disk_wait", DISK_WAIT_SECONDS),
        (scale, "alpha", PAPER.alpha),
        (scale, "beta", PAPER.beta),
        (scale, "gamma", PAPER.gamma),
    ],
)
def test_a_default_is_the_librarys_constant(
    function: Callable[..., Any], option: str, constant: float
) -> None:
    # The very object: an equal number that is written again would be another one.
    assert inspect.signature(function).parameters[option].default is constant


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("simulate", f"(default: {TABLE_TRIALS}; the run's own)"),
        ("measure", f"(default: {STEP_BATCH['cpu']}; on a GPU {STEP_BATCH['cuda']})"),
        ("measure", f"(default: {TOP})"),
        ("scale", f"(default: {STEP_BATCH['cpu']}; on a GPU {STEP_BATCH['cuda']})"),
    ],
)
def test_help_names_the_librarys_number(command: str, words: str, nas: Nas) -> None:
    code, out, _ = nas(command, "--help")
    assert code == 0
    assert words in " ".join(out.split())

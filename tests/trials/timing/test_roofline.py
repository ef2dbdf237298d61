"""The ceilings of a device and the share of them that a step reaches; times are given."""

import pytest
import torch
from clocks import Clock

from trials.timing import durations, roofline
from trials.timing.roofline import Ceilings, ceilings, measure_ceilings, roofline_share

CPU = torch.device("cpu")


def test_shares_are_the_least_times_over_the_steps() -> None:
    limits = Ceilings(macs_per_second=1e9, bytes_per_second=1e8)
    found = roofline_share(limits, macs=10**6, activations=1000, images=10, seconds=0.1, precision="bf16")
    assert found.arithmetic == pytest.approx(3 * 10**7 / 1e9 / 0.1)
    assert found.traffic == pytest.approx(22 * 10**4 / 1e8 / 0.1)
    assert found.share == found.arithmetic
    double = roofline_share(limits, macs=10**6, activations=1000, images=10, seconds=0.1, precision="fp32")
    assert double.traffic == pytest.approx(2 * found.traffic)


def test_ceilings_are_rates_of_products_and_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(durations, "MATRIX_SIDE", {"cpu": 16})
    monkeypatch.setattr(durations, "COPIED_BYTES", {"cpu": 64})
    monkeypatch.setattr(durations, "CEILING_SECONDS", 1.0)
    clock = Clock()
    multiply, types = torch.mm, []

    def mm(left: torch.Tensor, right: torch.Tensor, out: torch.Tensor) -> None:
        clock.sleep(0.25)
        types.append(left.dtype)
        multiply(left, right, out=out)

    monkeypatch.setattr(torch, "mm", mm)
    assert ceilings(CPU, "bf16", clock=clock)["macs"]() == pytest.approx(16**3 / 0.25)
    assert set(types) == {torch.bfloat16}
    assert len(types) == 5  # one to warm up, and four that fill a second


def test_ceilings_are_the_highest_of_measurements_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"macs": iter([3.0, 9.0, 5.0, 4.0, 6.0]), "bytes": iter([1.0, 2.0, 8.0, 2.0, 2.0])}
    measures = {name: lambda values=values: next(values) for name, values in given.items()}
    monkeypatch.setattr(durations, "CEILING_PASSES", 5)
    monkeypatch.setattr(roofline, "ceilings", lambda *_, **__: measures)
    assert measure_ceilings(CPU, "fp32") == Ceilings(9.0, 8.0)

"""nas measure takes the device as trials do: shared while it builds, alone while it times."""

from contextlib import AbstractContextManager
from itertools import groupby
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from any_modules import Tiny
from device_turns import turns_in
from rich.console import Console
from small_networks import SMALL, WIDE
from timing_rounds import few_rounds
from torch import Tensor

from nas.measuring import conditions, measure, measure_table
from nas.measuring.conditions import Conditions, NamedNetwork
from trials.timing.block_table import BlockTable
from trials.timing.block_times import BlockMeasurement
from trials.timing.module_source import source_of

pytestmark = pytest.mark.usefixtures("as_a_worker")

CONDITIONS = Conditions(
    device=torch.device("cpu"), device_name="a device", threads=1, precision="fp32",
    precision_reason="as asked for", num_classes=10, resolution=16, batch_size=2,
)  # fmt: skip


def test_networks_are_timed_with_the_device_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few_rounds(monkeypatch.setattr)
    monkeypatch.setattr(measure, "INFERENCE_BATCHES", (1,))
    monkeypatch.setattr(measure, "cpu_step_memory", lambda *_, **__: 1)
    networks = [NamedNetwork("small", SMALL), NamedNetwork("wide", WIDE)]
    with turns_in(tmp_path / "locks", measure) as turns:
        measure.measure_networks(networks, CONDITIONS)
        assert turns.is_free()
    assert set(turns.roles) == {"timing"}
    assert len(turns.made) == 1


def test_a_network_that_is_asked_for_its_classes_computes_as_a_trainer(tmp_path: Path) -> None:
    roles: list[str | None] = []

    class Noting(Tiny):
        def forward(self, images: Tensor) -> Tensor:
            roles.append(turns.role)
            return super().forward(images)

    given: dict[str, Any] = {"resolution": 16, "batch_size": 2, "precision": "fp32"}
    with turns_in(tmp_path / "locks", conditions) as turns:
        found = conditions.conditions_for([source_of(Noting)], num_classes=None, **given)
        assert turns.is_free()
        conditions.conditions_for([source_of(Noting)], num_classes=7, **given)
    assert found.num_classes == 4
    assert roles == ["training"]
    assert len(turns.made) == 1


def test_blocks_are_built_as_a_trainer_and_timed_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    roles: list[str | None] = []

    def measured(wanted: BlockMeasurement, *, alone: Any, on_progress: Any, provenance: object) -> BlockTable:
        roles.append(turns.role)
        for _ in range(2):
            with cast(AbstractContextManager[object], alone()):
                roles.append(turns.role)
            roles.append(turns.role)
        return cast(BlockTable, "a table")

    monkeypatch.setattr(measure_table, "measure_block_times", measured)
    wanted = cast(BlockMeasurement, SimpleNamespace(device=torch.device("cpu")))
    with turns_in(tmp_path / "locks", measure_table) as turns:
        assert measure_table._measured(wanted, Console()) == "a table"
        assert turns.is_free()
    assert [role for role, _ in groupby(roles)] == ["training", "timing", "training", "timing", "training"]

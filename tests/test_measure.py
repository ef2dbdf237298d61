"""Networks measured side by side: figures, their screen, and what does not fit."""

import io
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from test_train import SMALL, WIDE

from nas.measure import OUT_OF_MEMORY, _fitting, conditions_for, measure_on_console, read_networks
from nas.measure_screen import measure_screen
from search_spaces.architecture import Architecture
from search_spaces.counting import count
from search_spaces.yaml_io import ConfigError, read_yaml, write_yaml
from trials.step_memory import cpu_step_memory

pytestmark = pytest.mark.usefixtures("as_a_worker")

CONDITIONS: dict[str, Any] = {"num_classes": 10, "resolution": 16, "batch_size": 8, "precision": "fp32"}


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory, as_a_worker: None) -> dict[str, Any]:
    """SMALL and WIDE, measured once."""
    folder = tmp_path_factory.mktemp("networks")
    for name, architecture in (("small", SMALL), ("wide", WIDE)):
        write_yaml(architecture, folder / f"{name}.yaml")
    sources = [str(folder / f"{name}.yaml") for name in ("small", "wide")]
    return measure_on_console(sources, **CONDITIONS, console=Console(file=io.StringIO()))


def test_figures_are_those_of_the_networks(figures: dict[str, Any]) -> None:
    small, wide = figures["networks"]
    assert (small["name"], wide["name"]) == ("small", "wide")
    for network, architecture in ((small, SMALL), (wide, WIDE)):
        counts = count(architecture, num_classes=10, resolution=16)
        assert (network["params"], network["macs"]) == (counts.params, counts.macs)
        assert network["architecture_id"] == architecture.architecture_id
        assert network["step_seconds_p10"] <= network["step_seconds"] <= network["step_seconds_p90"]
        assert [i["inference_batch_size"] for i in network["inference"]] == [1, 16, 128]
        seconds = [i["inference_seconds"] for i in network["inference"]]
        assert seconds == sorted(seconds)
        assert network["rounds"] >= 2
    assert wide["step_time_ratio"] > 1.5
    assert wide["inference"][2]["inference_time_ratio"] > 1.5
    assert 0.5 < small["step_time_ratio"] < 2  # against itself


def test_the_screen_fits_80_columns(figures: dict[str, Any]) -> None:
    figures = {**figures, "networks": [{**n, "name": n["name"] * 12} for n in figures["networks"]]}
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(measure_screen(figures))
    text = console.export_text()
    assert "images/s" in text
    for network in figures["networks"]:
        assert f"{network['params']:,}" in text
        assert f"{network['macs']:,}" in text


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux tells")
def test_memory_grows_with_the_batch() -> None:
    small, large = (
        cpu_step_memory(WIDE, num_classes=10, batch_size=batch, resolution=32, precision="fp32")
        for batch in (8, 128)
    )
    assert small is not None
    assert large is not None
    activations = count(WIDE, num_classes=10, resolution=32).activations * 4 * 128
    assert large > activations  # what the backward pass needs, at least
    assert large > 2 * small


def test_what_does_not_fit_is_said_and_what_breaks_is_raised() -> None:
    def fail(error: Exception) -> Any:
        raise error

    for error in (MemoryError(), torch.OutOfMemoryError("x"), RuntimeError("can't allocate memory")):
        told = _fitting(lambda error=error: fail(error), ["step_seconds"])  # type: ignore[misc]
        assert told["step_seconds"] == OUT_OF_MEMORY
    with pytest.raises(RuntimeError, match="shape"):
        _fitting(lambda: fail(RuntimeError("shape mismatch")), ["step_seconds"])


def test_conditions_come_from_the_provenance_of_the_first(tmp_path: Path) -> None:
    from dataclasses import replace

    write_yaml(replace(SMALL, provenance={"num_classes": 7, "resolution": 48}), tmp_path / "a.yaml")
    networks = read_networks([str(tmp_path / "a.yaml")])
    found = conditions_for(networks, num_classes=None, resolution=None, batch_size=None, precision=None)
    assert (found.num_classes, found.resolution) == (7, 48)
    published = read_networks(["efficientnet-b0"])
    found = conditions_for(published, num_classes=None, resolution=None, batch_size=None, precision=None)
    assert (found.num_classes, found.resolution) == (1000, 224)


def test_every_network_must_work_at_the_resolution() -> None:
    assert read_yaml(Architecture, "efficientnet-b0").total_stride == 32
    networks = read_networks(["efficientnetv2-s", "efficientnet-b0"])
    with pytest.raises(ConfigError, match="efficientnetv2-s: images of 16 px are too small"):
        conditions_for(networks, num_classes=None, resolution=16, batch_size=None, precision=None)

"""The precision of a trial: as asked, or found by a probe that all workers of a host agree on."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from clocks import passes_that_take
from small_networks import SMALL
from small_trials import CPU, make_trial, run_digits_trial

from search_spaces.networks.architecture import Architecture
from search_spaces.networks.convolution import Convolution
from search_spaces.networks.network import Network
from trials.images.packed import default_cache
from trials.timing.precision import resolve_precision, step_time_of_bf16

pytestmark = pytest.mark.usefixtures("as_a_worker")


@pytest.fixture(autouse=True)
def no_earlier_probe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


class Probe:
    """Answers with a ratio, and counts how often it is asked."""

    def __init__(self, ratio: float) -> None:
        self.ratio = ratio
        self.asked: list[tuple[str, int]] = []

    def __call__(self, reference: Architecture, resolution: int) -> float:
        self.asked.append((reference.architecture_id, resolution))
        return self.ratio


def resolved(probe: Probe, precision: str = "auto", resolution: int = 16) -> str:
    return resolve_precision(precision, CPU, reference=SMALL, resolution=resolution, probe=probe)  # type: ignore[arg-type]


@pytest.mark.parametrize(("ratio", "precision"), [(0.5, "bf16"), (0.94, "bf16"), (0.96, "fp32"), (3, "fp32")])
def test_the_faster_precision_is_taken_where_it_pays(ratio: float, precision: str) -> None:
    assert resolved(Probe(ratio)) == precision


def test_precision_probe_runs_once_for_a_processor_reference_and_resolution() -> None:
    first, later = Probe(0.5), Probe(2.0)
    assert resolved(first) == resolved(later) == "bf16"
    assert (len(first.asked), len(later.asked)) == (1, 0)
    assert resolved(later, resolution=24) == "fp32"
    assert later.asked == [(SMALL.architecture_id, 24)]


def test_precision_that_is_asked_for_is_not_probed() -> None:
    probe = Probe(0.1)
    assert resolved(probe, "fp32") == "fp32"
    assert resolved(probe, "bf16") == "bf16"
    assert probe.asked == []


@pytest.mark.parametrize("damage", ["", "{}", '{"precision": "fp8"}', "\x00"])
def test_damaged_record_of_a_precision_probe_is_made_again(damage: str) -> None:
    assert resolved(Probe(0.5)) == "bf16"
    (file,) = (default_cache().parent / "precision").glob("*.json")
    assert json.loads(file.read_text())["bf16_over_fp32"] == 0.5
    file.write_text(damage)
    assert resolved(Probe(2.0)) == "fp32"


def test_precision_probe_leaves_random_generators_alone() -> None:
    torch.manual_seed(7)
    state = torch.get_rng_state()
    assert step_time_of_bf16(SMALL, 16) > 0
    assert torch.equal(torch.get_rng_state(), state)


def test_precision_probe_is_the_ratio_of_a_step_in_bf16_to_one_in_fp32() -> None:
    def seconds(network: Network, images: int) -> float:
        return 0.03 if torch.is_autocast_enabled("cpu") else 0.02

    with passes_that_take(seconds):
        assert step_time_of_bf16(SMALL, 16) == pytest.approx(1.5)


def test_depthwise_convolutions_stay_in_float32_on_cpu() -> None:
    images = torch.randn(2, 8, 6, 6)
    depthwise = Convolution(8, 8, kernel_size=3, groups=8)
    pointwise = Convolution(8, 8, kernel_size=1)
    plain = depthwise(images)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert pointwise(images).dtype == torch.bfloat16
        assert torch.equal(depthwise(images), plain)
        assert depthwise(images.bfloat16()).dtype == torch.float32


def test_a_trial_in_bf16_learns_as_in_fp32() -> None:
    trial = make_trial()
    accuracies = {}
    for precision in ("fp32", "bf16"):
        _, result = run_digits_trial(
            replace(trial, recipe=replace(trial.recipe, precision=precision, epochs=4), epochs=4)
        )
        assert result.precision == precision
        assert result.measurement is not None
        accuracies[precision] = result.measurement.accuracy_raw
    assert abs(accuracies["fp32"] - accuracies["bf16"]) < 0.1

"""The precision of a trial: as asked, or found by a probe that all workers of a host agree on."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from caches import new_cache
from clocks import passes_that_take
from small_networks import SMALL
from small_trials import CPU, DIGITS, RECIPE, make_trial, run_digits_trial

from search_spaces.networks.architecture import Architecture
from search_spaces.networks.convolution import Convolution
from search_spaces.networks.network import Network
from search_spaces.settings.config_error import ConfigError
from trials.devices.arithmetic import autocast
from trials.devices.cache_folder import cache_folder
from trials.log.rows import trial_row
from trials.run_trial import start_worker
from trials.timing.precision import ChosenPrecision, choose_precision, precision_of_trials, step_time_of_bf16
from trials.trial import Slot
from trials.worker_setup import WorkerSetup

pytestmark = pytest.mark.usefixtures("as_a_worker")


@pytest.fixture(autouse=True)
def no_earlier_probe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", new_cache(tmp_path / "cache"))


class Probe:
    """Answers with a ratio, and counts how often it is asked."""

    def __init__(self, ratio: float) -> None:
        self.ratio = ratio
        self.asked: list[tuple[str, int]] = []

    def __call__(self, reference: Architecture, resolution: int) -> float:
        self.asked.append((reference.architecture_id, resolution))
        return self.ratio


def resolved(probe: Probe, precision: str = "auto", resolution: int = 16) -> str:
    chosen = choose_precision(precision, CPU, reference=SMALL, resolution=resolution, probe=probe)  # type: ignore[arg-type]
    return chosen.precision


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
    (file,) = cache_folder("precision").glob("*.json")
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


# ---------------------------------------------------------------- of CUDA devices


GPU = torch.device("cuda:0")


@pytest.fixture
def gpu_of(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes up GPUs of these compute capabilities."""

    def made_up(*capabilities: tuple[int, int]) -> None:
        monkeypatch.setattr(
            torch.cuda, "get_device_capability", lambda device: capabilities[torch.device(device).index]
        )
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla T4")
        monkeypatch.setattr(torch.cuda, "device_count", lambda: len(capabilities))

    return made_up


@pytest.mark.parametrize(
    ("capability", "precision"),
    [
        ((6, 1), "fp32"),
        ((7, 0), "fp16"),
        ((7, 5), "fp16"),
        ((8, 0), "bf16"),
        ((8, 9), "bf16"),
        ((9, 0), "bf16"),
        ((12, 0), "bf16"),
    ],
)
def test_auto_on_a_gpu_is_what_it_has_in_hardware_and_says_why(
    capability: tuple[int, int], precision: str, gpu_of: Callable[..., None]
) -> None:
    gpu_of(capability)
    chosen = choose_precision("auto", GPU, reference=SMALL, resolution=16)
    assert chosen.precision == precision
    assert f"sm_{capability[0]}{capability[1]}" in chosen.why


@pytest.mark.parametrize(
    ("asked", "capability"), [("bf16", (7, 5)), ("tf32", (7, 0)), ("fp16", (6, 1)), ("bf16", (6, 1))]
)
def test_precision_that_a_gpu_does_not_have_is_refused_with_what_to_use(
    asked: str, capability: tuple[int, int], gpu_of: Callable[..., None]
) -> None:
    gpu_of(capability)
    with pytest.raises(ConfigError, match=f"precision: {asked} needs sm_.*Tesla T4 is sm_.*; use fp"):
        choose_precision(asked, GPU, reference=SMALL, resolution=16)  # type: ignore[arg-type]
    gpu_of((9, 0))
    chosen = choose_precision(asked, GPU, reference=SMALL, resolution=16)  # type: ignore[arg-type]
    assert (chosen.precision, chosen.why) == (asked, "as asked for")


@pytest.mark.parametrize("asked", ["fp16", "tf32"])
def test_precision_of_gpus_is_refused_by_a_worker_on_a_cpu_before_its_first_trial(asked: str) -> None:
    setup = WorkerSetup(data=DIGITS, reference=SMALL, precisions=("auto", asked))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=f"precision: {asked} is for GPUs"):
        start_worker(Slot(index=0), setup=setup)


def test_all_networks_of_a_run_take_what_was_decided_for_it(gpu_of: Callable[..., None]) -> None:
    gpu_of((9, 0))
    for decided, expected in (
        (ChosenPrecision("fp16", "weakest", "cuda"), "fp16"),
        (ChosenPrecision("fp32", "begun on a CPU"), "fp32"),
        (ChosenPrecision("fp32", "of CPUs", "cpu"), "bf16"),
        (None, "bf16"),
    ):
        chosen = precision_of_trials("auto", RECIPE, GPU, reference=SMALL, decided=decided)
        assert chosen.precision == expected
    gpu_of((7, 5))
    with pytest.raises(ConfigError, match="bf16 needs sm_80"):
        precision_of_trials("auto", RECIPE, GPU, reference=SMALL, decided=ChosenPrecision("bf16", "as begun"))


def test_a_row_says_in_which_precision_a_trial_trained_and_why() -> None:
    _, result = run_digits_trial(make_trial())
    row = trial_row({}, result, reward=0.5, environment_id="e")
    assert row["precision"] in ("fp32", "bf16")
    assert "of the time of one in fp32" in str(row["precision_reason"])


# ---------------------------------------------------------------- TF32


def test_convolutions_of_float32_compute_in_tf32_only_where_that_is_the_precision() -> None:
    for precision, setting in (("tf32", "tf32"), ("fp32", "ieee"), ("tf32", "tf32"), ("fp32", "ieee")):
        autocast(precision, GPU)
        cudnn: Any = torch.backends.cudnn
        assert cudnn.conv.fp32_precision == setting
        assert torch.backends.cuda.matmul.fp32_precision == setting

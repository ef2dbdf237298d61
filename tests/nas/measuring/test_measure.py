"""Networks measured side by side: figures, their screen, and what does not fit."""

import io
import itertools
import pickle
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from clocks import number_of_weights, passes_that_take
from companion import Companion, Told
from full_trainings import RECIPE
from rich.console import Console
from schema_files import validate
from screens import screen_text
from small_networks import SMALL, WIDE
from timing_rounds import few_rounds

from nas.commands.output import json_text
from nas.measuring import measure as measuring
from nas.measuring.conditions import NamedNetwork, conditions_for, read_networks
from nas.measuring.figures import NOT_FITTING, OUT_OF_MEMORY, MeasuredNetworks, MeasuredTime, measured_json
from nas.measuring.measure import compared, fitting, measure_networks, measure_on_console
from nas.screens.measure import MAX_NAME, measure_screen, shortened
from search_spaces.networks.architecture import Architecture
from search_spaces.networks.counting import count
from search_spaces.networks.figures import architecture_figures
from search_spaces.networks.network import Network
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.yaml_files import read_yaml, write_yaml
from trials.devices.device_errors import is_out_of_memory
from trials.devices.memory_bound import available_bytes, bounded_memory
from trials.timing import alternating
from trials.timing.step_memory import cpu_step_memory

pytestmark = pytest.mark.usefixtures("as_a_worker")

SECONDS_PER_WEIGHT_AND_IMAGE = 1e-9
CONDITIONS: dict[str, Any] = {"num_classes": 10, "resolution": 16, "batch_size": 8, "precision": "fp32"}


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory, as_a_worker: None) -> MeasuredNetworks:
    """SMALL and WIDE, measured once: passes take seconds by weights and images, and up to 2 % more."""
    folder = tmp_path_factory.mktemp("networks")
    for name, architecture in (("small", SMALL), ("wide", WIDE)):
        write_yaml(architecture, folder / f"{name}.yaml")
    sources = [str(folder / f"{name}.yaml") for name in ("small", "wide")]
    more = itertools.cycle([1.0, 1.01, 1.0, 1.02, 1.01])

    def seconds(network: Network, images: int) -> float:
        return SECONDS_PER_WEIGHT_AND_IMAGE * number_of_weights(network) * images * next(more)

    with passes_that_take(seconds), pytest.MonkeyPatch.context() as patch:
        patch.setattr(measuring, "cpu_step_memory", lambda *_, **__: 10_000)  # without processes
        return measure_on_console(sources, **CONDITIONS, console=Console(file=io.StringIO()))


def test_measured_figures_are_those_of_each_network(figures: MeasuredNetworks) -> None:
    small, wide = figures.networks
    assert (small.name, wide.name) == ("small", "wide")
    ratio = wide.params / small.params
    for network, architecture in ((small, SMALL), (wide, WIDE)):
        counts = count(architecture, num_classes=10, resolution=16)
        per_image = SECONDS_PER_WEIGHT_AND_IMAGE * counts.params
        assert (network.params, network.macs) == (counts.params, counts.macs)
        assert network.architecture_id == architecture.architecture_id
        assert network.step.seconds_p10 <= network.step.seconds <= network.step.seconds_p90
        assert [inference.batch_size for inference in network.inference] == [1, 16, 128]
        assert network.step.seconds == pytest.approx(8 * per_image, rel=0.02)
        for inference in network.inference:
            seconds, images = inference.time.seconds, inference.batch_size
            assert seconds == pytest.approx(images * per_image, rel=0.02)
            assert inference.images_per_second == pytest.approx(images / seconds)
        assert alternating.EARLIEST_END <= network.step.rounds <= alternating.ROUNDS
    assert wide.step.ratio == pytest.approx(ratio, rel=0.02)
    assert [inference.time.ratio for inference in wide.inference] == pytest.approx([ratio] * 3, rel=0.02)
    assert wide.step.ratio_spread > 0
    assert (small.step.ratio, small.step.ratio_spread) == (1, None)  # timed alone
    assert figures.conditions.threads == 1


def test_steps_alone_are_measured_by_a_recipe_without_memory_and_inference() -> None:
    networks = [NamedNetwork("small", SMALL), NamedNetwork("wide", WIDE)]
    recipe = replace(RECIPE, averaging_decay=0.5)
    conditions = replace(conditions_for(networks, **CONDITIONS), recipe=recipe)
    assert conditions.steps.step(SMALL).average is not None
    with passes_that_take(lambda network, n: SECONDS_PER_WEIGHT_AND_IMAGE * number_of_weights(network) * n):
        found = measure_networks(networks, conditions, steps_only=True)
    small, wide = found.networks
    assert wide.step.ratio == pytest.approx(wide.params / small.params)
    assert (wide.inference, wide.peak_memory_bytes) == ((), None)
    assert not hasattr(measured_json(found), "recipe")


def test_json_names_the_figures_as_a_trial_s_columns(figures: MeasuredNetworks) -> None:
    printed = validate("measure", json_text(measured_json(figures)))
    network, measured = printed["networks"][1], figures.networks[1]
    assert list(printed)[:2] == ["device_name", "threads"]
    assert network["step_seconds"] == measured.step.seconds
    assert network["step_time_ratio_spread"] == measured.step.ratio_spread
    assert (network["timing_flag"], network["failure"]) == (None, None)
    assert network["inference"][2]["inference_batch_size"] == 128
    assert network["inference"][2]["inference_time_ratio"] == measured.inference[2].time.ratio


def shown(figures: MeasuredNetworks) -> str:
    return screen_text(measure_screen(figures))


def test_screen_of_measured_networks_fits_80_columns_and_says_how_many_rounds(
    figures: MeasuredNetworks,
) -> None:
    large = {"params": 207_600_000, "macs": 16_123_456_789, "activations": 1_028_704_123}
    networks = (*figures.networks, figures.networks[1])
    text = shown(
        replace(figures, networks=tuple(replace(each, name=each.name * 12, **large) for each in networks))
    )
    assert text.count("16,123,456,789") == 3
    assert "…" not in text.replace(shortened("small" * 12), "").replace(shortened("wide" * 12), "")
    assert len(re.findall(r"\bn \d+\b", text)) == 3 * 4
    assert "images/s" in text
    assert "one thread, fp32, 16 px, 10 classes" in text.splitlines()[0]


def test_more_than_three_measured_networks_are_shown_below_each_other(figures: MeasuredNetworks) -> None:
    text = shown(replace(figures, networks=figures.networks * 2)).partition("a training step of")[0]
    assert text.count("parameters") == 2
    assert text.count("small") == 3  # two columns, and the note on ratios


def test_shortened_names_of_networks_keep_beginnings_and_ends() -> None:
    names = ["flowers-2026-11-21-a", "flowers-2026-11-21-b", "trees-2026-11-21-aaaaaa"]
    assert len({shortened(name) for name in names}) == 3
    assert {len(shortened(name)) for name in names} == {MAX_NAME}
    assert shortened("short") == "short"


def test_preparing_to_measure_leaves_the_number_of_threads_as_it_was() -> None:
    torch.set_num_threads(2)
    try:
        networks = read_networks(["efficientnet-b0"])
        conditions_for(networks, **{**CONDITIONS, "resolution": 32})
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


def measure_with_little_memory(told: Told, folder: Path) -> None:
    """The step needs 1.5 GB; allowed are 0.3 more than are held. Inference needs little."""
    torch.set_num_threads(1)
    few_rounds()
    networks = read_networks([str(folder / "small.yaml")])
    given = conditions_for(networks, num_classes=10, resolution=64, batch_size=2048, precision="fp32")
    left = available_bytes()
    assert left is not None
    with bounded_memory(share=0.3e9 / left):
        figures = measure_networks(networks, given)
    (folder / "figures").write_bytes(pickle.dumps(figures))


@pytest.mark.skipif(available_bytes() is None, reason="only Linux tells")
def test_batch_beyond_the_memory_is_said_and_inference_is_still_measured(tmp_path: Path) -> None:
    """In a process of its own: oneDNN may create nothing more after it once had no memory."""
    write_yaml(SMALL, tmp_path / "small.yaml")
    assert Companion(measure_with_little_memory, tmp_path).end() == ("", 0)
    figures: MeasuredNetworks = pickle.loads((tmp_path / "figures").read_bytes())
    (network,) = figures.networks
    assert network.step.failure == OUT_OF_MEMORY
    assert network.step.seconds is network.peak_memory_bytes is None
    assert all(inference.time.seconds > 0 for inference in network.inference)
    text = shown(figures)
    assert OUT_OF_MEMORY in text
    assert "--batch-size" in text


@pytest.mark.skipif(available_bytes() is None, reason="only Linux tells")
def test_allocation_beyond_a_memory_bound_is_refused_only_inside_it() -> None:
    def take() -> int:
        # More than earlier tests can have left in the allocator; never touched, so that it takes nothing.
        return torch.empty(8 << 30, dtype=torch.uint8).numel()

    with bounded_memory(share=0.0), pytest.raises(Exception) as refused:
        take()
    assert is_out_of_memory(refused.value)
    assert take() == 8 << 30


def test_ratios_to_a_network_that_did_not_fit_are_unknown() -> None:
    time = MeasuredTime(seconds=1.0, ratio=1.0, ratio_spread=0.1, rounds=5)
    unknown = compared(time, NOT_FITTING)
    assert (unknown.ratio, unknown.ratio_spread) == (None, None)
    assert compared(time, time) == time
    single = compared(replace(time, ratio=2.0, ratio_spread=0.0, rounds=1), time)
    assert (single.ratio, single.ratio_spread) == (2.0, None)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux tells")
def test_measured_memory_of_a_step_grows_with_the_batch() -> None:
    small, large = (
        cpu_step_memory(WIDE, num_classes=10, batch_size=batch, resolution=32, precision="fp32")
        for batch in (8, 128)
    )
    assert small is not None
    assert large is not None
    activations = count(WIDE, num_classes=10, resolution=32).activations * 4 * 128
    assert large > activations  # what the backward pass needs, at least
    assert large > 2 * small


def test_out_of_memory_becomes_a_figure_and_other_errors_are_raised() -> None:
    def fail(error: Exception) -> Any:
        raise error

    cpu = torch.device("cpu")
    for error in (MemoryError(), torch.OutOfMemoryError("x"), RuntimeError("can't allocate memory")):
        told = fitting(lambda error=error: fail(error), cpu)  # type: ignore[misc]
        assert (told.seconds, told.failure) == (None, OUT_OF_MEMORY)
    with pytest.raises(RuntimeError, match="shape"):
        fitting(lambda: fail(RuntimeError("shape mismatch")), cpu)


@pytest.mark.parametrize("value", ["abc", "[1]", "true", "1.5", "-3", "0", "99999999"])
def test_odd_numbers_in_a_files_provenance_are_refused_by_place(value: str, tmp_path: Path) -> None:
    write_yaml(SMALL, tmp_path / "a.yaml")
    text = (tmp_path / "a.yaml").read_text()
    (tmp_path / "a.yaml").write_text(f"{text}provenance: {{resolution: {value}}}\n")
    networks = read_networks([str(tmp_path / "a.yaml")])
    with pytest.raises(ConfigError, match=r"a: provenance.resolution: .* no whole number from 2 to 4,096"):
        conditions_for(networks, num_classes=None, resolution=None, batch_size=None, precision="fp32")
    with pytest.raises(ConfigError, match=r"provenance\.resolution"):
        architecture_figures(networks[0].architecture, name="a")
    given = conditions_for(networks, num_classes=None, resolution=32, batch_size=None, precision="fp32")
    assert given.resolution == 32


def test_conditions_of_measuring_come_from_the_first_files_provenance(tmp_path: Path) -> None:
    write_yaml(replace(SMALL, provenance={"num_classes": 7, "resolution": 48}), tmp_path / "a.yaml")
    networks = read_networks([str(tmp_path / "a.yaml")])
    found = conditions_for(networks, num_classes=None, resolution=None, batch_size=None, precision="fp32")
    assert (found.num_classes, found.resolution) == (7, 48)
    published = read_networks(["efficientnet-b0"])
    found = conditions_for(published, num_classes=None, resolution=None, batch_size=None, precision="fp32")
    assert (found.num_classes, found.resolution) == (1000, 224)


def test_resolution_too_small_for_one_of_the_measured_networks_is_refused() -> None:
    assert read_yaml(Architecture, "efficientnet-b0").total_stride == 32
    networks = read_networks(["efficientnetv2-s", "efficientnet-b0"])
    with pytest.raises(ConfigError, match="efficientnetv2-s: images of 16 px are too small"):
        conditions_for(networks, num_classes=None, resolution=16, batch_size=None, precision=None)

"""nas measure of networks that others wrote, beside ours; times are given, not measured."""

import itertools
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from any_modules import Attending, Tiny, Viewing
from clocks import modules_that_take, number_of_weights
from conftest import Nas
from schema_files import validate
from screens import screen_text
from small_networks import SMALL
from torch import Tensor, nn

from nas.commands.output import json_text
from nas.measuring import measure as measuring
from nas.measuring.figures import MeasuredNetworks, measured_json
from nas.measuring.measure import measure
from nas.screens.measure import measure_screen
from nas.screens.measured_parts import shown_parts
from search_spaces.networks.counting import count
from search_spaces.networks.network import Network
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.yaml_files import write_yaml
from trials.devices.device_errors import CaptureFailedError
from trials.kernels.cpu_library import why_not
from trials.timing.module_check import CheckedModule, checked_module
from trials.timing.module_parts import PartTime
from trials.timing.module_source import module_source, source_of
from trials.timing.roofline import Ceilings
from trials.timing.step_memory import StepsFailedError, cpu_step_memory

pytestmark = pytest.mark.usefixtures("as_a_worker")
SIZE: dict[str, Any] = {"resolution": 16, "batch_size": 8, "precision": "fp32"}
CEILINGS = Ceilings(macs_per_second=1e12, bytes_per_second=1e10)
SECONDS_PER_WEIGHT_AND_IMAGE = 1e-9
needs_kernels = pytest.mark.skipif(why_not() is not None, reason=f"no own kernels: {why_not()}")


@pytest.fixture(scope="module")
def given_times() -> Iterator[None]:
    """Passes take seconds by weights and images, and up to 2 % more; the device's ceilings are given."""
    more = itertools.cycle([1.0, 1.01, 1.0, 1.02, 1.01])

    def seconds(network: Network, images: int) -> float:
        return SECONDS_PER_WEIGHT_AND_IMAGE * number_of_weights(network) * images * next(more)

    kinds: Any = (Network, Tiny, Attending, Viewing)
    with modules_that_take(kinds, seconds), pytest.MonkeyPatch.context() as patch:
        patch.setattr(measuring, "measure_ceilings", lambda *_, **__: CEILINGS)
        patch.setattr(measuring, "cpu_step_memory", lambda *_, **__: 10_000)  # without a process for each
        yield


@pytest.fixture(scope="module")
def figures(
    given_times: None, tmp_path_factory: pytest.TempPathFactory, as_a_worker: None
) -> MeasuredNetworks:
    """A class, a name, and an architecture's file, side by side."""
    file = tmp_path_factory.mktemp("networks") / "small.yaml"
    write_yaml(SMALL, file)
    return measure([Attending, "any_modules:Viewing", "any_modules:ours_as_any", str(file)], **SIZE)


def test_networks_of_others_are_measured_by_the_protocol_of_ours(figures: MeasuredNetworks) -> None:
    attending, _, as_any, small = figures.networks
    assert [network.name for network in figures.networks] == [
        "Attending", "any_modules:Viewing", "any_modules:ours_as_any", "small"
    ]  # fmt: skip
    assert figures.conditions.num_classes == 4  # those of the first
    for network in figures.networks:
        per_image = SECONDS_PER_WEIGHT_AND_IMAGE * network.params
        assert network.step.seconds == pytest.approx(8 * per_image, rel=0.02)
        assert network.step.ratio == pytest.approx(network.params / attending.params, rel=0.02)
        for inference in network.inference:
            assert inference.time.seconds == pytest.approx(inference.batch_size * per_image, rel=0.02)
    assert [network.architecture_id for network in figures.networks] == [None] * 3 + [SMALL.architecture_id]
    counts = count(SMALL, num_classes=4, resolution=16)
    for network in (as_any, small):
        assert (network.params, network.macs, network.activations) == (
            counts.params, counts.macs, counts.activations
        )  # fmt: skip
        assert (network.norms, network.norms_by_own_kernels) == (small.norms, small.norms_by_own_kernels)
        assert network.kernels == small.kernels
    assert [network.layout for network in figures.networks] == [
        "channels_last", "contiguous", "channels_last", "channels_last"
    ]  # fmt: skip


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux tells")
def test_memory_of_a_step_is_measured_in_a_process_that_finds_the_network_again() -> None:
    def checked(made: Callable[..., nn.Module]) -> CheckedModule:
        return checked_module(source_of(made), num_classes=4, resolution=16, device=torch.device("cpu"))

    size: dict[str, Any] = {"num_classes": 4, "batch_size": 512, "resolution": 16, "precision": "fp32"}
    found = cpu_step_memory(checked(Viewing), **size)
    assert found is not None
    assert found > 512 * 3 * 16 * 16 * 4  # the images alone
    assert cpu_step_memory(checked(lambda: Tiny()), **size) is None


TALKING = """
import atexit
import os
import sys
from any_modules import Tiny
IS_MEASURED = "step_memory" in sys.argv[0]
print("imported")
if IS_MEASURED:
    atexit.register(print, "at exit")


class Net(Tiny):
    def forward(self, images):
        os.write(1, b"computed")
        return super().forward(images)


class Ending(Tiny):
    def forward(self, images):
        if IS_MEASURED:
            os._exit(0)
        return super().forward(images)
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux tells")
def test_memory_is_read_beside_all_that_a_module_prints_and_missed_where_it_ends_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "talking.py").write_text(TALKING)

    def taken(name: str) -> int | None:
        source = module_source(f"talking:{name}")
        checked = checked_module(source, num_classes=4, resolution=16, device=torch.device("cpu"))
        return cpu_step_memory(checked, num_classes=4, batch_size=64, resolution=16, precision="fp32")

    found = taken("Net")
    assert found is not None
    assert found > 64 * 3 * 16 * 16 * 4  # the images alone
    with pytest.raises(StepsFailedError, match="two training steps ended without an answer"):
        taken("Ending")


def test_a_network_that_works_only_once_has_no_memory_but_all_else(
    given_times: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> int:
        raise StepsFailedError("two training steps ended with code 1")

    monkeypatch.setattr(measuring, "cpu_step_memory", fail)
    (found,) = measure([Tiny], **SIZE).networks
    assert found.peak_memory_bytes is None
    assert found.step.seconds is not None
    with pytest.raises(StepsFailedError):
        measure(["efficientnetv2-b0"], **{**SIZE, "resolution": 32})


def test_a_network_that_fails_while_it_is_measured_is_told_by_its_own_line(
    given_times: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Tired(Tiny):
        passes = 0

        def forward(self, images: Tensor) -> Tensor:
            Tired.passes += 1
            if Tired.passes > 8:
                raise RuntimeError("no more")
            return super().forward(images)

    with pytest.raises(
        ConfigError, match=r"Tired: measuring it failed at .*test_any_network\.py, line \d+, in"
    ):
        measure([Tired], **SIZE)

    monkeypatch.setattr(measuring, "cpu_step_memory", partial(int, "none"))
    with pytest.raises(TypeError):  # a mistake of ours is none of the user's
        measure([Tiny], **SIZE)


def test_a_network_that_cannot_be_a_graph_is_told_how_it_can_be_measured(
    given_times: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> int:
        raise CaptureFailedError("no CUDA graph of its work: it reads a number back")

    monkeypatch.setattr(measuring, "measure_step_time", fail)
    with pytest.raises(ConfigError, match=r"Tiny: no CUDA graph .* back; with NAS_CUDA_GRAPHS=0"):
        measure([Tiny], **SIZE)


def test_share_of_the_roofline_is_that_of_the_counts_and_the_step(figures: MeasuredNetworks) -> None:
    for network in figures.networks:
        assert network.roofline is not None
        assert network.step.seconds is not None
        macs = 3 * (network.macs or 0) * 8 / network.step.seconds / CEILINGS.macs_per_second
        moved = 44 * (network.activations or 0) * 8 / network.step.seconds / CEILINGS.bytes_per_second
        assert (network.roofline.arithmetic, network.roofline.traffic) == pytest.approx((macs, moved))


def test_parts_of_each_network_are_measured(figures: MeasuredNetworks) -> None:
    attending, viewing, _, small = ([part.part for part in network.parts] for network in figures.networks)
    assert attending == ["between parts", "patches", "blocks.0", "blocks.1", "classifier", "update"]
    assert viewing == ["between parts", "conv", "head", "update"]
    assert small[1:3] == ["stem", "stage 1"]


def test_json_holds_everything_of_any_network(figures: MeasuredNetworks) -> None:
    printed = validate("measure", json_text(measured_json(figures)))
    assert printed["macs_per_second"] == CEILINGS.macs_per_second
    viewing = printed["networks"][1]
    assert viewing["memory_layout"] == "contiguous"
    assert "view size is not compatible" in viewing["memory_layout_reason"]
    assert viewing["architecture_id"] is None
    assert viewing["roofline_share"] == max(viewing["arithmetic_share"], viewing["traffic_share"])
    assert {part["part"] for part in viewing["parts"]} == {"between parts", "conv", "head", "update"}
    assert sum(part["share"] for part in viewing["parts"]) == pytest.approx(1)
    assert (viewing["norms"], viewing["norms_by_own_kernels"], viewing["uncounted"]) == (0, 0, [])


@needs_kernels
def test_the_screen_says_which_kernels_compute_which_norms_and_where_the_time_goes(
    figures: MeasuredNetworks,
) -> None:
    text = screen_text(measure_screen(figures))
    rows = [line.split() for line in text.splitlines() if line.startswith("own-kernel norms")]
    assert rows[0][2:] == ["0", "of", "4", "0", "of", "0", "11", "of", "11"]
    assert "any_modu…s:Viewing: computes in contiguous memory, others in channels_last." in text
    for name in ("Attending", "any_modules:Viewing", "any_modules:ours_as_any", "small"):
        assert f"a training step of {name}" in text
    assert "  of roofline" in text
    assert max(map(len, text.splitlines())) <= 80


def test_small_parts_are_shown_as_one_and_what_is_no_part_at_the_end() -> None:
    def part(name: str, share: float) -> PartTime:
        return PartTime(part=name, forward_seconds=share, backward_seconds=share, share=share)

    parts = [
        part("between parts", 0.1),
        part("a", 0.004),
        part("b", 0.7),
        part("c", 0.006),
        part("update", 0.19),
    ]
    shown = shown_parts(parts)
    assert [each.part for each in shown] == ["b", "2 smaller ones", "between parts", "update"]
    assert shown[1].share == pytest.approx(0.01)
    assert sum(each.share for each in shown) == pytest.approx(1)
    assert [each.part for each in shown_parts(parts[1:3])] == ["a", "b"]


def test_a_network_with_what_cannot_be_counted_says_so(given_times: None) -> None:
    class Distances(Tiny):
        def forward(self, images: Tensor) -> Tensor:
            logits = super().forward(images)
            return logits + torch.cdist(logits, logits).mean()

    frozen = nn.Parameter(torch.ones(1234), requires_grad=False)

    class Frozen(Distances):
        def __init__(self) -> None:
            super().__init__()
            self.frozen = frozen

    text = screen_text(measure_screen(measure([Frozen], **SIZE)))
    assert "not in its MACs: aten._cdist_forward (1x)." in text.replace("\n", " ")
    assert "1,234 more parameters are frozen." in text
    assert " +" in next(line for line in text.splitlines() if line.startswith("MACs"))


def test_a_later_network_of_other_classes_is_refused_before_anything_is_measured(given_times: None) -> None:
    begun: list[str] = []
    with pytest.raises(ConfigError, match=r"any_modules:Attending: gives 4 logits, but 1,000 classes"):
        measure(
            ["efficientnetv2-b0", "any_modules:Attending"],
            **{**SIZE, "resolution": 32},
            on_network=begun.append,
        )
    assert begun == []
    tiny = measure(["any_modules:Attending", "any_modules:Tiny"], **SIZE, on_network=begun.append).networks[1]
    assert begun == ["any_modules:Attending", "any_modules:Tiny"]
    assert tiny.params == number_of_weights(Tiny(num_classes=4))


def test_the_command_prints_json_alone_whatever_a_network_prints(nas: Nas, given_times: None) -> None:
    code, out, err = nas(
        "measure", "any_modules:printing", "--input", "3x16x16", "--batch-size", "4", "--precision", "fp32",
        "--json",
    )  # fmt: skip
    assert code == 0, err
    assert [network["name"] for network in json.loads(out)["networks"]] == ["any_modules:printing"]
    assert json.loads(out)["resolution"] == 16
    assert "made\n" in err
    assert "measuring any_modules:printing\n" in err


def test_ceilings_beyond_the_memory_are_unknown(monkeypatch: pytest.MonkeyPatch, given_times: None) -> None:
    def refuse(*_: object, **__: object) -> Ceilings:
        raise MemoryError

    monkeypatch.setattr(measuring, "measure_ceilings", refuse)
    found = measure([Tiny], **SIZE)
    assert found.ceilings is None
    assert found.networks[0].roofline is None

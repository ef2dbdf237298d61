"""The fused kernels of a CPU against torch in double precision, and when they are used."""

import copy
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from search_spaces.networks.architecture import Architecture, Stage
from search_spaces.networks.convolution import Convolution
from search_spaces.networks.network import Network, build_network
from trials.devices.arithmetic import autocast
from trials.kernels import cpu_blocks as blocks
from trials.kernels import cpu_library as library
from trials.kernels.choice import fuse as fuse_for
from trials.kernels.choice import kernels_on, use_fused
from trials.kernels.cpu_blocks import as_torch
from trials.kernels.cpu_library import why_not

CPU = torch.device("cpu")
# Every path: both ops, with and without expansion, squeeze-excite and residual; kernels 3, 5; strides 1, 2.
KEYS = ("op", "kernel_size", "stride", "expansion_ratio", "channels", "layers", "se_ratio")
STAGES = tuple(
    Stage(**dict(zip(KEYS, values, strict=True)))  # type: ignore[arg-type]
    for values in (
        ("fused_mbconv", 3, 1, 1, 8, 2, 0.25),
        ("fused_mbconv", 3, 2, 3, 16, 2, 0.0),
        ("fused_mbconv", 3, 1, 2, 16, 1, 0.25),
        ("mbconv", 3, 1, 1, 16, 2, 0.0),
        ("mbconv", 5, 2, 3, 24, 2, 0.25),
        ("mbconv", 3, 2, 3, 24, 1, 0.0),
        ("mbconv", 5, 1, 3, 24, 2, 0.25),
    )
)
EVERY_BLOCK = Architecture(stem_channels=8, stages=STAGES, head_channels=40)

needs_kernels = pytest.mark.skipif(why_not() is not None, reason=f"no fused kernels: {why_not()}")


@pytest.fixture(autouse=True)
def fused_again() -> Iterator[None]:
    yield
    use_fused(True)


def fuse(network: nn.Module, device: torch.device) -> str:
    return fuse_for(network, device, "fp32", record=None)


def network_of(architecture: Architecture) -> Network:
    torch.manual_seed(3)
    network = build_network(architecture, num_classes=5, stochastic_depth=0.3)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.3)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def in_double(network: Network) -> Network:
    exact = copy.deepcopy(network).double()
    for module in exact.modules():
        if isinstance(module, Convolution):
            module.is_depthwise = False  # whose fast path is for float32
    return exact


def differentiated(network: Network, images: Tensor, precision: str) -> dict[str, Tensor]:
    """The output, all gradients and all running statistics of one pass."""
    torch.manual_seed(5)  # of dropped branches
    inputs = images.clone().requires_grad_()
    with autocast(precision, CPU):
        output = network(inputs)
    weights = torch.linspace(-1, 1, output.numel(), dtype=torch.float64).view_as(output).to(output.dtype)
    (output * weights).sum().backward()
    assert inputs.grad is not None
    found = {"output": output.detach(), "images": inputs.grad}
    found |= {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
    found |= {name: b.clone() for name, b in network.named_buffers() if "running" in name}
    return {name: tensor.double() for name, tensor in found.items()}


def distance(found: dict[str, Tensor], exact: dict[str, Tensor]) -> dict[str, float]:
    """The largest error of each tensor, over the largest entry of all tensors of this kind of name."""
    scales: dict[str, float] = {}
    for name, tensor in exact.items():
        kind = name.rsplit(".", 1)[-1]
        scales[kind] = max(scales.get(kind, 0.0), float(tensor.abs().max()))
    return {
        name: float((found[name] - tensor).abs().max()) / scales[name.rsplit(".", 1)[-1]]
        for name, tensor in exact.items()
    }


@needs_kernels
@pytest.mark.parametrize("padding", ["symmetric", "same"])
@pytest.mark.parametrize("side", [32, 21])
def test_fused_networks_outputs_gradients_and_statistics_are_torchs(padding: str, side: int) -> None:
    plain = network_of(replace(EVERY_BLOCK, padding=padding))
    fused, exact = copy.deepcopy(plain), in_double(plain)
    assert fuse(fused, CPU) == "fused"
    images = torch.randn(6, 3, side, side)
    wanted = differentiated(exact, images.double(), "fp32")
    own, torchs = (differentiated(network, images, "fp32") for network in (fused, plain))
    assert own.keys() == torchs.keys() == wanted.keys()
    assert max(distance(own, wanted).values()) < 1e-4
    for network in (fused, plain, exact):
        network.eval()
    with torch.no_grad():
        difference = fused(images) - exact(images.double())
    assert difference.abs().max() < 1e-4


@needs_kernels
def test_fused_networks_are_as_exact_as_torchs_in_half_precision() -> None:
    plain = network_of(EVERY_BLOCK)
    fused, exact = copy.deepcopy(plain), in_double(plain)
    fuse(fused, CPU)
    images = torch.randn(16, 3, 32, 32)
    wanted = differentiated(exact, images.double(), "fp32")
    own, torchs = (distance(differentiated(n, images, "bf16"), wanted) for n in (fused, plain))
    for kind in ("output", "weight", "running_mean", "running_var"):
        of_kind = [name for name in wanted if name.endswith(kind)]
        assert max(own[name] for name in of_kind) < 1.5 * max(torchs[name] for name in of_kind) + 0.01


@needs_kernels
def test_results_are_the_same_for_any_number_of_threads() -> None:
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            network = network_of(EVERY_BLOCK)
            fuse(network, CPU)
            stage = network.stages[4]  # depthwise, gates and residual; torch's own layers may differ
            torch.manual_seed(0)
            features = torch.randn(20, 16, 8, 8)
            results.append(blocks._depthwise(features, None, stage[0].depthwise[0])[1])  # type: ignore[index]
            norm = nn.BatchNorm2d(16)
            results.append(blocks._normalised(features, norm, active=True))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(results[0], results[2])
    assert torch.equal(results[1], results[3])


@needs_kernels
@pytest.mark.parametrize("channels", [1, 7, 12, 40])
def test_norm_of_any_number_of_channels_with_a_far_mean_is_torchs(channels: int) -> None:
    features = torch.randn(3, channels, 5, 3) * 0.01 + 50
    own, other = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels).double()
    found = blocks._normalised(features, own, active=True)
    wanted = nn.functional.silu(other(features.double()))
    torch.testing.assert_close(found.double(), wanted, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(own.running_var, other.running_var.float(), rtol=1e-4, atol=0)  # type: ignore[union-attr]


@needs_kernels
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_values_that_are_not_finite_stay_so(value: float) -> None:
    for dtype in (torch.float32, torch.bfloat16):
        features = torch.randn(2, 16, 4, 4).to(dtype)
        features[0, 3, 1, 1] = value
        output = blocks._normalised(features, nn.BatchNorm2d(16), active=True)
        assert not output.isfinite().all()


@needs_kernels
def test_large_activations_neither_overflow_nor_vanish() -> None:
    norm = nn.BatchNorm2d(16).eval()
    features = torch.tensor([-1e4, -100.0, -20.0, 0.0, 20.0, 100.0, 1e4, 1e30]).repeat(2, 16, 1, 1)
    with torch.no_grad():
        found = blocks._normalised(features, norm, active=True)
    torch.testing.assert_close(
        found, nn.functional.silu(features / (1 + norm.eps) ** 0.5), rtol=1e-5, atol=1e-6
    )


@needs_kernels
def test_one_value_a_channel_is_refused_as_torch_refuses_it() -> None:
    network = network_of(EVERY_BLOCK)
    fuse(network, CPU)
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        network(torch.randn(1, 3, 8, 8))


@needs_kernels
def test_names_and_tensors_of_a_fused_network_stay() -> None:
    plain = network_of(EVERY_BLOCK)
    tensors = {name: tensor.data_ptr() for name, tensor in plain.state_dict().items()}
    fuse(plain, CPU)
    assert {name: tensor.data_ptr() for name, tensor in plain.state_dict().items()} == tensors


@needs_kernels
def test_a_network_computes_as_torch_within_the_block_and_fused_behind_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = network_of(EVERY_BLOCK)
    fuse(network, CPU)
    classes = [type(module) for module in network.modules()]
    calls: list[str] = []
    original = blocks._normalised
    monkeypatch.setattr(blocks, "_normalised", lambda *a, **k: calls.append("") or original(*a, **k))
    images = torch.randn(2, 3, 32, 32)
    with as_torch(network):
        network(images)
    assert not calls
    network(images)
    assert len(calls) >= sum(stage.layers for stage in STAGES)
    assert [type(module) for module in network.modules()] == classes


def test_depthwise_convolutions_of_other_numbers_of_channels_are_left_to_torch() -> None:
    stages = (replace(STAGES[3], channels=12), replace(STAGES[4], channels=20))
    network = network_of(replace(EVERY_BLOCK, stages=stages))
    plain = copy.deepcopy(network)
    fuse(network, CPU)
    images = torch.randn(4, 3, 16, 16)
    own, wanted = (differentiated(n, images, "fp32") for n in (network, plain))
    assert max(distance(own, wanted).values()) < 1e-4


@pytest.mark.parametrize(
    ("forbid", "reason"),
    [
        (lambda patch: patch.setenv("NAS_FUSED_KERNELS", "0"), "NAS_FUSED_KERNELS=0"),
        (lambda patch: patch.setattr(library, "COMPILERS", ("no-such-compiler",)), "no C++ compiler"),
        (lambda patch: patch.setattr(library, "FLAGS", ("-no-such-flag",)), "does not compile the kernels"),
        (
            lambda patch: patch.setattr(library, "cache_folder", lambda of: Path("/proc/none", of)),
            "cannot be kept",
        ),
    ],
)
def test_networks_compute_as_torch_where_there_are_no_kernels_and_the_reason_is_known(
    forbid: Callable[[pytest.MonkeyPatch], None], reason: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(library, "cache_folder", lambda of: tmp_path / of)
    forbid(monkeypatch)
    library._loaded.cache_clear()
    try:
        network = network_of(EVERY_BLOCK)
        assert fuse(network, CPU) == kernels_on(CPU, "fp32", record=None) == "torch"
        assert reason in str(why_not())
        assert not list(tmp_path.rglob("*.so"))
        assert network(torch.randn(2, 3, 32, 32)).isfinite().all()
    finally:
        library._loaded.cache_clear()


@needs_kernels
def test_a_library_that_others_may_have_written_is_made_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made: list[list[str]] = []

    def compiled(command: list[str]) -> None:
        made.append(command)
        Path(command[-1]).write_bytes(b"")

    monkeypatch.setattr(library, "cache_folder", lambda of: tmp_path / of)
    monkeypatch.setattr(library, "_run", compiled)
    for made_again in (True, False, True):
        library._loaded.cache_clear()
        made.clear()
        with pytest.raises(library.NoKernelsError, match="cannot be kept or loaded"):
            library.cpu_library()
        assert bool(made) == made_again
        (file,) = tmp_path.rglob("*.so")
        if not made_again:
            file.chmod(0o666)
    library._loaded.cache_clear()


def test_a_process_that_goes_on_with_torchs_kernels_fuses_nothing() -> None:
    use_fused(False)
    assert fuse(network_of(EVERY_BLOCK), CPU) == "torch"


@needs_kernels
def test_a_forked_process_computes_with_threads_of_its_own() -> None:
    script = (
        "import os, torch\n"
        "from torch import nn\n"
        "from trials.kernels import cpu_blocks as blocks\n"
        "torch.set_num_threads(2)\n"
        "compute = lambda: blocks._normalised(torch.ones(8, 8, 2, 2), nn.BatchNorm2d(8), active=True)\n"
        "compute()\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    compute()\n"
        "    os._exit(0)\n"
        "raise SystemExit(os.waitpid(child, 0)[1])\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)


def depthwise_layer(size: int, stride: int, padding: str) -> Convolution:
    torch.manual_seed(0)
    return Convolution(8, 8, kernel_size=size, stride=stride, groups=8, padding=padding)  # type: ignore[arg-type]


@needs_kernels
@pytest.mark.parametrize("padding", ["symmetric", "same"])
@pytest.mark.parametrize(("size", "stride"), [(3, 1), (3, 2), (5, 1), (5, 2)])
@pytest.mark.parametrize(("images", "height", "width"), [(1, 101, 90), (17, 7, 5), (3, 2, 2), (19, 1, 3)])
def test_depthwise_convolutions_of_normed_and_plain_input_are_torchs_in_any_size(
    padding: str, size: int, stride: int, images: int, height: int, width: int
) -> None:
    """The first is computed in several strips, the second in chunks of unequal size."""
    own = depthwise_layer(size, stride, padding)
    exact = copy.deepcopy(own).double()
    exact.is_depthwise = False
    for norm in (None, nn.BatchNorm2d(8)):
        features = torch.randn(images, 8, height, width)
        found_in, wanted_in = features.clone().requires_grad_(), features.double().requires_grad_()
        other = copy.deepcopy(norm).double() if norm is not None else None
        z, moments = blocks._depthwise(found_in, norm, own)
        wanted = exact(wanted_in if other is None else nn.functional.silu(other(wanted_in)))
        torch.testing.assert_close(z.double(), wanted, rtol=1e-4, atol=1e-4)
        rows = [pixels.flatten(1) for pixels in wanted.transpose(0, 1)]  # of each channel
        mean = torch.stack([row.mean() for row in rows])
        parts = moments[:, 0].mean(0) if images in (1, 3) else None  # of equal chunks
        if parts is not None:
            torch.testing.assert_close(parts, mean, rtol=1e-4, atol=1e-4)
        grad = torch.randn_like(z)
        z.backward(grad)
        wanted.backward(grad.double())
        torch.testing.assert_close(found_in.grad.double(), wanted_in.grad, rtol=1e-3, atol=1e-3)  # type: ignore[union-attr]
        torch.testing.assert_close(own.weight.grad.double(), exact.weight.grad, rtol=1e-3, atol=1e-3)  # type: ignore[union-attr]
        own.weight.grad = exact.weight.grad = None


@needs_kernels
def test_parts_of_a_network_in_modes_of_their_own_compute_as_torch() -> None:
    plain = network_of(EVERY_BLOCK)
    fused = copy.deepcopy(plain)
    fuse(fused, CPU)
    for network in (plain, fused):
        for block in network.blocks()[4:6]:
            for module in block.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()  # frozen, as in fine-tuning
    images = torch.randn(4, 3, 32, 32)
    own, wanted = (differentiated(network, images, "fp32") for network in (fused, plain))
    assert max(distance(own, wanted).values()) < 1e-4


@needs_kernels
def test_frozen_weights_get_no_gradient_and_the_others_theirs() -> None:
    plain = network_of(EVERY_BLOCK)
    fused = copy.deepcopy(plain)
    fuse(fused, CPU)
    for network in (plain, fused):
        for block in network.blocks()[:7]:
            block.requires_grad_(False)
    images = torch.randn(4, 3, 32, 32)
    own, wanted = (differentiated(network, images, "fp32") for network in (fused, plain))
    assert own.keys() == wanted.keys()
    assert max(distance(own, wanted).values()) < 1e-4


@needs_kernels
def test_output_of_a_fused_layer_may_be_changed_in_place() -> None:
    layers = nn.Sequential(Convolution(3, 8, kernel_size=3), nn.BatchNorm2d(8), nn.SiLU())
    cpu_network = nn.Sequential(layers)
    fuse(cpu_network, CPU)
    output = cpu_network(torch.randn(2, 3, 8, 8))
    output += 1
    output.sum().backward()
    assert layers[0].weight.grad is not None


def test_norms_of_another_kind_are_left_to_torch() -> None:
    for norm in (
        nn.BatchNorm2d(8, affine=False),
        nn.BatchNorm2d(8, track_running_stats=False),
        nn.BatchNorm2d(8, momentum=None),
    ):
        layers = nn.Sequential(Convolution(3, 8, kernel_size=3), norm, nn.SiLU())
        fuse(nn.Sequential(layers), CPU)
        assert type(layers) is nn.Sequential

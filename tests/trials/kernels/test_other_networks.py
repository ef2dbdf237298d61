"""Own kernels in networks that others wrote: standard norms are replaced, and compute what torch computes."""

import copy
from collections.abc import Callable

import pytest
import torch
from any_modules import Attending
from small_networks import SMALL
from torch import Tensor, nn

from search_spaces.networks.architecture import Architecture
from search_spaces.networks.network import build_network
from search_spaces.settings.yaml_files import read_yaml
from trials.kernels.choice import coverage, fuse
from trials.kernels.cpu_blocks import QuickBatchNorm2d, as_torch, use_cpu_kernels
from trials.kernels.cpu_library import why_not
from trials.kernels.cuda_blocks import use_cuda_kernels
from trials.kernels.cuda_norm import KernelBatchNorm2d
from trials.kernels.replaceable import NormCoverage

CPU = torch.device("cpu")
needs_kernels = pytest.mark.skipif(why_not() is not None, reason=f"no own kernels: {why_not()}")


class Mixed(nn.Module):
    """Norms in a sequence, by themselves, and of kinds that are left to torch."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(
            nn.Conv2d(3, 12, 3, stride=2, padding=2, dilation=2), nn.BatchNorm2d(12), nn.SiLU()
        )
        self.conv = nn.Conv2d(12, 16, 3, groups=4)
        self.norm = nn.BatchNorm2d(16)
        self.other = nn.GroupNorm(4, 16)
        self.unaffine = nn.BatchNorm2d(16, affine=False)
        self.head = nn.Linear(16, 4)

    def forward(self, images: Tensor) -> Tensor:
        features = torch.relu(self.norm(self.conv(self.first(images))))
        return self.head(self.unaffine(self.other(features)).mean((2, 3)))


@needs_kernels
def test_standard_norms_of_any_network_are_replaced_and_counted() -> None:
    network = Mixed()
    assert fuse(network, CPU, "fp32", record=None) == "fused"
    assert type(network.first) is nn.Sequential
    assert type(network.first[1]) is QuickBatchNorm2d
    assert type(network.norm) is QuickBatchNorm2d
    assert type(network.unaffine) is nn.BatchNorm2d
    assert coverage(network, CPU) == NormCoverage(2, 4)
    assert coverage(network.head, CPU) == NormCoverage(0, 0)
    attending = Attending()
    fuse(attending, CPU, "fp32", record=None)
    assert coverage(attending, CPU) == NormCoverage(0, 4)


@needs_kernels
@pytest.mark.parametrize("size", [(4, 17), (2, 5)])
def test_a_replaced_norm_computes_what_torch_computes(size: tuple[int, int]) -> None:
    images, side = size
    torch.manual_seed(0)
    plain = Mixed().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    own, exact = copy.deepcopy(plain), copy.deepcopy(plain).double()
    fuse(own, CPU, "fp32", record=None)
    batch = torch.randn(images, 3, side, side)
    found = []
    for network, pixels in ((own, batch), (exact, batch.double())):
        logits = network(pixels)
        logits.square().sum().backward()
        found.append([logits, *(p.grad for p in network.parameters()), *network.buffers()])
    for value, wanted in zip(*found, strict=True):
        if wanted.is_floating_point():
            torch.testing.assert_close(value.double(), wanted, rtol=1e-3, atol=1e-4)
    for network in (own, plain, exact):
        network.eval()
    plain.load_state_dict(own.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(own(batch), plain(batch), rtol=1e-4, atol=1e-5)


@needs_kernels
def test_replaced_norms_leave_to_torch_what_they_cannot_compute() -> None:
    norm = nn.Sequential(nn.BatchNorm2d(3))
    fuse(norm, CPU, "fp32", record=None)
    with pytest.raises(ValueError, match="expected 4D input"):
        norm(torch.randn(2, 3))
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        norm(torch.randn(1, 3, 1, 1))
    assert norm.double()(torch.randn(2, 3, 2, 2).double()).dtype == torch.float64
    with as_torch(norm):
        assert type(norm[0]) is nn.BatchNorm2d
    assert type(norm[0]) is QuickBatchNorm2d


@needs_kernels
def test_a_residual_network_of_ours_has_all_its_norms_replaced() -> None:
    network = build_network(read_yaml(Architecture, "resnet50"), num_classes=4)
    fuse(network, CPU, "fp32", record=None)
    assert coverage(network, CPU) == NormCoverage(53, 53)


class Forked(nn.Sequential):
    """A sequence with a forward pass of its own."""

    def forward(self, input: Tensor) -> Tensor:
        normed = self[1](self[0](input))
        return normed + self[2](normed)


class Taken(nn.Module):
    """Sequences whose layers are computed one by one and in slices, with something between them."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.SiLU())
        self.sliced = nn.Sequential(nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8), nn.SiLU())
        self.forked = Forked(nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8), nn.SiLU())
        self.head = nn.Linear(8, 4)

    def forward(self, images: Tensor) -> Tensor:
        features = self.block[1](self.block[0](images))
        features = self.block[2](features * features)
        normed = self.sliced[:2](features)
        features = normed + self.sliced[1:](self.sliced[:1](features)) + self.sliced[2:](normed)
        return self.head(self.forked(features).mean((2, 3)))


USED = [
    pytest.param(use_cuda_kernels, id="cuda"),
    pytest.param(use_cpu_kernels, id="cpu", marks=needs_kernels),
]


@pytest.mark.parametrize("use", USED)
def test_a_network_that_takes_its_sequences_apart_computes_the_same(use: Callable[[nn.Module], None]) -> None:
    torch.manual_seed(0)
    plain = Taken().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    own = copy.deepcopy(plain)
    use(own)
    assert not any(type(module) is nn.BatchNorm2d for module in own.modules())
    images = torch.randn(4, 3, 12, 12)
    torch.testing.assert_close(own(images), plain(images), rtol=1e-3, atol=1e-4)
    for value, wanted in zip(own.buffers(), plain.buffers(), strict=True):
        if wanted.is_floating_point():
            torch.testing.assert_close(value, wanted, rtol=1e-3, atol=1e-4)


# One module of each kind and place in which own kernels compute.
HOOKED = [
    "0", "1.stem", "1.stem.0", "1.stem.1", "1.stem.2", "1.head.2",
    "1.stages.1.0", *(f"1.stages.1.0.branch{part}" for part in ("", ".0", ".0.2", ".1", ".2.1")),
    *(f"1.stages.2.1{part}" for part in ("", ".expand", ".expand.1", ".depthwise.0", ".depthwise.1")),
    *(f"1.stages.2.1.{part}" for part in ("depthwise.2", "squeeze_excite", "project", "project.1", "drop")),
]  # fmt: skip


@pytest.mark.parametrize("use", USED)
@pytest.mark.parametrize("name", HOOKED)
def test_hooks_of_a_module_are_called_as_in_a_plain_network(
    name: str, use: Callable[[nn.Module], None]
) -> None:
    def called(used: Callable[[nn.Module], None]) -> list[str]:
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.BatchNorm2d(3), build_network(SMALL, num_classes=4, stochastic_depth=0.2)
        ).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        calls: list[str] = []
        hooked = network.get_submodule(name)
        for kind in ("forward_pre", "forward", "full_backward_pre", "full_backward"):
            getattr(hooked, f"register_{kind}_hook")(lambda *_, kind=kind: calls.append(kind))
        used(network)
        network(torch.randn(2, 3, 16, 16).requires_grad_()).square().sum().backward()
        return calls

    plain = called(lambda network: None)
    assert plain == ["forward_pre", "forward", "full_backward_pre", "full_backward"]
    assert called(use) == plain


def test_a_forward_pass_that_stands_on_one_module_alone_stays() -> None:
    network = nn.Sequential(nn.BatchNorm2d(3), nn.BatchNorm2d(3))
    network[0].forward = lambda input: input + 1  # type: ignore[method-assign]
    use_cuda_kernels(network)
    assert isinstance(network[1], KernelBatchNorm2d)
    assert torch.equal(network[0](torch.ones(1)), torch.full((1,), 2.0))

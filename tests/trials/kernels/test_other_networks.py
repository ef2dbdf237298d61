"""Own kernels in networks that others wrote: standard norms are replaced, and compute what torch computes."""

import copy

import pytest
import torch
from any_modules import Attending, Tiny
from torch import Tensor, nn

from search_spaces.networks.architecture import Architecture
from search_spaces.networks.network import build_network
from search_spaces.settings.yaml_files import read_yaml
from trials.kernels.choice import coverage, fuse
from trials.kernels.cpu_blocks import QuickBatchNorm2d, QuickNormalised, as_torch
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
    assert type(network.first) is QuickNormalised
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


def test_on_cuda_an_activation_is_folded_only_where_a_sequence_runs_one_layer_after_the_other() -> None:
    class Forked(nn.Sequential):
        def forward(self, input: Tensor) -> Tensor:
            normed = self[1](self[0](input))
            return normed + self[2](normed)

    layers = Tiny().layer
    plain, forked = nn.Sequential(*copy.deepcopy(layers)), Forked(*copy.deepcopy(layers))
    network = nn.Sequential(plain, forked)
    use_cuda_kernels(network)
    assert isinstance(plain[1], KernelBatchNorm2d)
    assert isinstance(plain[2], nn.Identity)
    assert plain[1].activation
    assert isinstance(forked[1], KernelBatchNorm2d)
    assert not forked[1].activation
    assert isinstance(forked[2], nn.SiLU)

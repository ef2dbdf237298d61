"""Any module is counted: by formulas on paper, as architectures are, and said where it cannot be."""

import pytest
import torch
from small_networks import EXCHANGEABLE, SMALL
from torch import Tensor, nn
from torch.nn import functional

from search_spaces.networks.architecture import Architecture
from search_spaces.networks.counting import count
from search_spaces.networks.module_counts import ModuleCounts, count_any
from search_spaces.networks.network import build_network
from search_spaces.settings.yaml_files import read_yaml

IMAGE = torch.zeros(1, 3, 32, 32)


@pytest.mark.parametrize("architecture", [SMALL, EXCHANGEABLE, read_yaml(Architecture, "resnet50")])
def test_a_network_of_ours_has_the_counts_of_its_architecture(architecture: Architecture) -> None:
    counts = count(architecture, num_classes=7, resolution=32)
    found = count_any(build_network(architecture, num_classes=7), IMAGE)
    assert found == ModuleCounts(counts.params, 0, counts.macs, counts.activations)


class Functions(nn.Module):
    """A grouped convolution, a norm and a classifier that are called as functions."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(8, 3, 4, 4))
        self.grouped = nn.Parameter(torch.randn(8, 2, 3, 3))
        self.scale = nn.Parameter(torch.ones(8))
        self.classes = nn.Parameter(torch.randn(5, 8))

    def forward(self, images: Tensor) -> Tensor:
        features = functional.conv2d(images, self.kernel, stride=4)  # (N, 8, 8, 8)
        features = functional.conv2d(features, self.grouped, padding=1, groups=4)
        features = functional.layer_norm(features.movedim(1, -1), (8,), self.scale).mean((1, 2))
        return torch.einsum("nc,kc->nk", features, self.classes)


class Attention(nn.Module):
    """Patches of 8 pixels, one block of attention with its MLP, and a classifier."""

    def __init__(self, *, is_torchs: bool = False) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 8, stride=8)
        self.norm = nn.LayerNorm(16)
        self.torchs = nn.MultiheadAttention(16, 4, batch_first=True) if is_torchs else None
        self.qkv = nn.Linear(16, 48)
        self.out = nn.Linear(16, 16)
        self.classifier = nn.Linear(16, 5)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.patches(images).flatten(2).transpose(1, 2)  # (N, 16, 16)
        normed = self.norm(tokens)
        if self.torchs is not None:
            mixed = self.torchs(normed, normed, normed, need_weights=False)[0]
        else:
            heads = self.qkv(normed).unflatten(2, (3, 4, 4)).permute(2, 0, 3, 1, 4)  # (3, N, H, T, D)
            mixed = self.out(functional.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2))
        return self.classifier((tokens + mixed).mean(1))


def test_convolutions_einsum_and_norms_that_are_functions_are_counted() -> None:
    found = count_any(Functions(), IMAGE)
    first, grouped, classes = 8 * 8 * 8 * 3 * 16, 8 * 8 * 8 * 2 * 9, 8 * 5
    assert found.macs == first + grouped + classes
    assert found.activations == 2 * 8 * 8 * 8  # einsum is a product of matrices, no layer
    assert (found.params, found.uncounted) == (8 * 48 + 8 * 18 + 8 + 40, ())


@pytest.mark.parametrize("is_torchs", [False, True])
def test_attention_is_counted_as_its_matrix_products(is_torchs: bool) -> None:
    tokens, width = 16, 16
    patches, linear = tokens * width * 3 * 64, tokens * width * width * 4
    products = 2 * tokens * tokens * width
    found = count_any(Attention(is_torchs=is_torchs).train(), IMAGE)
    assert found.macs == patches + linear + products + width * 5
    assert found.activations == tokens * width * (1 + 4) + 5
    assert found.uncounted == ()


def test_vectors_are_counted_and_frozen_parameters_are_counted_apart() -> None:
    class Vectors(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.matrix = nn.Parameter(torch.randn(5, 3 * 32 * 32))
            self.frozen = nn.Parameter(torch.randn(7), requires_grad=False)

        def forward(self, images: Tensor) -> Tensor:
            return torch.mv(self.matrix, images.flatten()) * torch.dot(self.frozen, self.frozen)

    assert count_any(Vectors(), IMAGE) == ModuleCounts(5 * 3072, 7, 5 * 3072 + 7, 0)


def test_what_cannot_be_counted_is_said() -> None:
    class Others(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            lines = images.flatten(2)
            return torch.fft.rfft(lines).abs() + torch.cdist(lines, lines).sum()

    found = count_any(Others(), IMAGE)
    assert found.macs == 0
    assert [each.split(" ")[0] for each in found.uncounted] == ["aten._cdist_forward", "aten._fft_r2c"]

    class Looking(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            if torch.utils._python_dispatch._get_current_dispatch_mode() is not None:
                raise RuntimeError("somebody looks")
            return images

    found = count_any(Looking(), IMAGE)
    assert (found.macs, found.activations) == (None, None)
    assert found.uncounted == ("not counted (RuntimeError: somebody looks)",)


def test_counting_leaves_modes_and_settings_as_they_were() -> None:
    network = Attention().train()
    network.norm.eval()
    torch.backends.mha.set_fastpath_enabled(True)
    count_any(network, IMAGE)
    assert network.training
    assert network.patches.training
    assert not network.norm.training
    assert torch.backends.mha.get_fastpath_enabled()

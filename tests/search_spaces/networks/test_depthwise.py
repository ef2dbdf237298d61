"""Convolutions that are computed in ways of our own on a CPU give what torch's give, gradients included."""

import pytest
import torch
from torch import nn

from search_spaces.networks.architecture import Padding
from search_spaces.networks.convolution import Convolution
from search_spaces.networks.depthwise import is_slow, weight_gradient
from search_spaces.networks.stage_fields import KERNEL_SIZES


def both_ways(
    convolution: Convolution, side: int, count: int = 3
) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Output, gradient of the images and of the weight: ours and torch's."""
    found = []
    generator = torch.Generator().manual_seed(side)
    images = torch.randn(count, convolution.in_channels, side, side, generator=generator)
    images = images.contiguous(memory_format=torch.channels_last)
    for forward in (convolution, lambda x: nn.Conv2d.forward(convolution, x)):
        given = images.clone(memory_format=torch.preserve_format).requires_grad_()
        convolution.zero_grad()
        output = forward(given)
        (output * torch.linspace(-1, 1, output.numel()).view(output.shape)).sum().backward()
        assert given.grad is not None
        assert convolution.weight.grad is not None
        found.append((output.detach(), given.grad, convolution.weight.grad.clone()))
    return found


@pytest.mark.parametrize("kernel_size", KERNEL_SIZES)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("side", [1, 2, 3, 4, 7, 8, 9, 16])
def test_depthwise_convolutions_agree_with_torchs(side: int, stride: int, kernel_size: int) -> None:
    convolution = Convolution(6, 6, kernel_size=kernel_size, stride=stride, groups=6)
    for ours, theirs in zip(*both_ways(convolution, side), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kernel_size", KERNEL_SIZES)
@pytest.mark.parametrize("stride", [1, 2])
def test_weight_gradients_agree_with_torchs_where_either_computes_them(kernel_size: int, stride: int) -> None:
    """Also at sides at which the faster one is torch's."""
    for height, width in ((1, 5), (7, 4), (17, 12)):
        images = torch.randn(2, 3, height, width)
        padding = (kernel_size - 1) // 2
        weight = torch.randn(3, 1, kernel_size, kernel_size, requires_grad=True)
        output = torch.conv2d(images, weight, None, stride, padding, 1, 3)
        grad = torch.randn_like(output)
        output.backward(grad)
        found = weight_gradient(images, grad, kernel_size=kernel_size, stride=stride, padding=padding)
        torch.testing.assert_close(found, weight.grad, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("side", [1, 2, 5, 8, 11])
@pytest.mark.parametrize("bias", [False, True])
def test_pointwise_convolutions_agree_with_torchs(side: int, bias: bool) -> None:
    convolution = Convolution(6, 10, kernel_size=1, bias=bias)
    ours, theirs = both_ways(convolution, side)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    if side > 1:  # of one pixel every layout is both
        assert ours[0].is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("padding", ["symmetric", "same"])
def test_weight_gradients_of_small_images_agree_with_torchs_in_both_paddings(padding: Padding) -> None:
    convolution = Convolution(4, 4, kernel_size=5, stride=2, groups=4, padding=padding)
    assert is_slow(4, 5, stride=2)
    images = torch.randn(2, 4, 7, 7, generator=torch.Generator().manual_seed(0))
    gradients = []
    for forward in (convolution, lambda x: _plain(convolution, x, padding)):
        convolution.zero_grad()
        output = forward(images)
        assert output.shape[2:] == (4, 4)
        output.square().sum().backward()
        assert convolution.weight.grad is not None
        gradients.append(convolution.weight.grad.clone())
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-5)


def _plain(convolution: Convolution, images: torch.Tensor, padding: Padding) -> torch.Tensor:
    # 7 pixels, stride 2, kernel 5: TensorFlow pads two on either side as well.
    assert padding in ("same", "symmetric")
    return nn.functional.conv2d(images, convolution.weight, stride=2, padding=2, groups=4)


def test_depthwise_weight_gradient_is_that_of_four_plain_loops() -> None:
    """Against four loops, in double precision."""
    images, grad = torch.randn(2, 3, 5, 6, dtype=torch.float64), torch.randn(2, 3, 3, 3, dtype=torch.float64)
    found = weight_gradient(images.float(), grad.float(), kernel_size=5, stride=2, padding=2)
    expected = torch.zeros(3, 1, 5, 5, dtype=torch.float64)
    for i in range(5):
        for j in range(5):
            for y in range(3):
                for x in range(3):
                    row, column = 2 * y + i - 2, 2 * x + j - 2
                    if 0 <= row < 5 and 0 <= column < 6:
                        expected[:, 0, i, j] += (images[:, :, row, column] * grad[:, :, y, x]).sum(0)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)


def test_frozen_depthwise_weight_gets_no_gradient() -> None:
    convolution = Convolution(4, 4, kernel_size=5, groups=4)
    convolution.weight.requires_grad_(False)
    images = torch.randn(2, 4, 4, 4, requires_grad=True)
    convolution(images).sum().backward()
    assert convolution.weight.grad is None
    assert images.grad is not None

"""The convolutions of all blocks: padding by either rule, and faster ways to compute the same on a CPU."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from search_spaces.networks.architecture import Padding
from search_spaces.networks.depthwise import depthwise_convolution

FEW_PIXELS = 64  # of an image, up to which a 1x1 convolution is computed as one product of matrices


class Convolution(nn.Conv2d):
    """A convolution that keeps ceil(n / stride) of the side, with either rule of padding.

    `same` is TensorFlow's: the total is split unevenly where it is odd, with the larger part at the end. Both
    rules agree on sides 32n + 1.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        kernel_size: int,
        stride: int = 1,
        groups: int = 1,
        bias: bool = False,
        padding: Padding = "symmetric",
    ) -> None:
        own_padding = (kernel_size - 1) // 2 if padding == "symmetric" else 0
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            padding=own_padding,
            groups=groups,
            bias=bias,
        )
        self.pads_by_size = padding == "same" and kernel_size > 1
        self.is_depthwise = groups > 1

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) to (N, O, ceil(H / s), ceil(W / s))."""
        if self.pads_by_size:
            input = functional.pad(
                input, [*self._padding_of(input.shape[3]), *self._padding_of(input.shape[2])]
            )
        if input.device.type == "cpu" and not _is_recorded():
            return self._on_cpu(input)
        return super().forward(input)

    def _on_cpu(self, input: Tensor) -> Tensor:
        if self.is_depthwise:
            # The backward pass of a depthwise convolution in bf16 takes some 6 times as long as in float32.
            with torch.autocast("cpu", enabled=False):
                return depthwise_convolution(
                    input.float(), self.weight, stride=self.stride[0], padding=int(self.padding[0])
                )
        if self.kernel_size == self.stride == (1, 1) and input.shape[2] * input.shape[3] <= FEW_PIXELS:
            # Of few pixels oneDNN's convolutions were seen to take up to 9 times as long as the same product.
            pixels = input.permute(0, 2, 3, 1)  # (N, H, W, C), as channels_last lies in memory
            weight = self.weight.view(self.out_channels, self.in_channels)
            product = functional.linear(pixels.reshape(-1, self.in_channels), weight, self.bias)
            return product.view(*pixels.shape[:3], self.out_channels).permute(0, 3, 1, 2)
        return super().forward(input)

    def _padding_of(self, side: int) -> tuple[int, int]:
        total = max((math.ceil(side / self.stride[0]) - 1) * self.stride[0] + self.kernel_size[0] - side, 0)
        return total // 2, total - total // 2

    def reset_parameters(self) -> None:
        """Normal with std sqrt(2 / fan_out), fan_out = k * k * out / groups; biases 0 (official code)."""
        fan_out = self.kernel_size[0] * self.kernel_size[1] * self.out_channels // self.groups
        nn.init.normal_(self.weight, std=math.sqrt(2 / fan_out))
        if self.bias is not None:
            nn.init.zeros_(self.bias)


def _is_recorded() -> bool:
    """Whether torch traces, exports or compiles what it sees, and so should see plain convolutions."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined]

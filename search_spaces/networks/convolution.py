"""The convolution of all blocks: two padding rules, and faster equivalents of slow cases on a CPU."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from search_spaces.networks.architecture import Padding
from search_spaces.networks.depthwise import depthwise_convolution

MAX_PIXELS_AS_MATRIX = 64  # per image, up to which a 1x1 convolution is computed as one matrix product


class Convolution(nn.Conv2d):
    """A convolution whose output side is ceil(side / stride), with symmetric or TensorFlow's padding.

    TensorFlow's rule (`same`) pads as little as the output side needs; where the total is odd, the larger
    part goes to the end. In a network of total stride 32 both rules agree on images of side 32 n + 1.
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
        # Tracing, exporting and compiling must see a plain convolution: the fast paths are not exportable.
        if input.device.type == "cpu" and not is_traced():
            return self._on_cpu(input)
        return super().forward(input)

    def _on_cpu(self, input: Tensor) -> Tensor:
        if self.is_depthwise:
            # In float32, because oneDNN's depthwise backward pass in bf16 takes about 6 times as long.
            with torch.autocast("cpu", enabled=False):
                output = depthwise_convolution(
                    input.float(), self.weight, stride=self.stride[0], padding=int(self.padding[0])
                )
                return output if self.bias is None else output + self.bias[:, None, None]
        is_pointwise = self.kernel_size == self.stride == (1, 1)
        if is_pointwise and input.shape[2] * input.shape[3] <= MAX_PIXELS_AS_MATRIX:
            # On few pixels oneDNN's convolution takes up to 9 times as long as the same matrix product.
            pixels = input.permute(0, 2, 3, 1)  # (N, H, W, C), as channels_last lies in memory
            weight = self.weight.view(self.out_channels, self.in_channels)
            product = functional.linear(pixels.reshape(-1, self.in_channels), weight, self.bias)
            return product.view(*pixels.shape[:3], self.out_channels).permute(0, 3, 1, 2)
        return super().forward(input)

    def pads_before(self, height: int, width: int) -> tuple[int, int]:
        """Rows of padding above an image of this size, and columns to its left."""
        if self.pads_by_size:
            return self._padding_of(height)[0], self._padding_of(width)[0]
        return int(self.padding[0]), int(self.padding[1])

    def _padding_of(self, side: int) -> tuple[int, int]:
        """Pixels of TensorFlow's padding before and after a side of this length."""
        total = max((math.ceil(side / self.stride[0]) - 1) * self.stride[0] + self.kernel_size[0] - side, 0)
        return total // 2, total - total // 2

    def reset_parameters(self) -> None:
        """Draws weights from N(0, 2 / fan_out), fan_out = k * k * out / groups; sets biases to 0.

        As in the official code.
        """
        fan_out = self.kernel_size[0] * self.kernel_size[1] * self.out_channels // self.groups
        nn.init.normal_(self.weight, std=math.sqrt(2 / fan_out))
        if self.bias is not None:
            nn.init.zeros_(self.bias)


def is_traced() -> bool:
    """True while torch traces, exports or compiles the network."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined]

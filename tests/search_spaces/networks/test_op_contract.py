"""The contract of ops: shipped ones keep it, and each way of breaking it is said with what to do."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from search_spaces.networks.architecture import Block
from search_spaces.networks.blocks import SHIPPED
from search_spaces.networks.op_contract import faults_of_op


class Plain(nn.Module):
    """A sound op: one convolution and its batch norm."""

    def __init__(self, block: Block, **settings: Any) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(
            block.in_channels, block.out_channels, block.kernel_size, block.stride, block.kernel_size // 2,
            bias=False,
        )  # fmt: skip
        self.norm = nn.BatchNorm2d(block.out_channels)

    def forward(self, features: Tensor) -> Tensor:
        return self.norm(self.convolution(features))  # type: ignore[no-any-return]


class Unpadded(Plain):
    def __init__(self, block: Block, **settings: Any) -> None:
        super().__init__(block, **settings)
        self.convolution.padding = (0, 0)


class Noisy(Plain):
    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features + torch.rand_like(features))


class OfItsBatch(Plain):
    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features - features.mean(0, keepdim=True))


class Viewing(Plain):
    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features.view(len(features), -1).view(features.shape))


class ByMemory(Plain):
    def forward(self, features: Tensor) -> Tensor:
        is_last = features.is_contiguous(memory_format=torch.channels_last)
        return super().forward(features if not is_last else 2 * features)


class Unused(Plain):
    def __init__(self, block: Block, **settings: Any) -> None:
        super().__init__(block, **settings)
        self.extra = nn.Linear(4, 4)


class Detached(Plain):
    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features.detach())


class Unseeded(Plain):
    made = 0

    def __init__(self, block: Block, **settings: Any) -> None:
        super().__init__(block, **settings)
        Unseeded.made += 1
        nn.init.constant_(self.norm.bias, Unseeded.made)


class Droppable(Plain):
    def __init__(self, block: Block, *, droppable: bool, **settings: Any) -> None:
        super().__init__(block, **settings)
        self.gain = nn.Parameter(torch.ones(())) if droppable else 1.0

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features) * self.gain


class ReadingValues(Plain):
    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features) if features.sum().item() else features


class OfOtherWords(nn.Module):
    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()


class Tuple(Plain):
    def forward(self, features: Tensor) -> Any:
        return super().forward(features), features


class Halved(Plain):
    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features).half()


@pytest.mark.parametrize("op", sorted(SHIPPED))
def test_shipped_ops_keep_the_contract(op: str) -> None:
    state = torch.get_rng_state()
    assert faults_of_op(SHIPPED[op], op=op) == []
    assert torch.equal(torch.get_rng_state(), state)


def test_sound_op_has_no_fault() -> None:
    assert faults_of_op(Plain, op="plain") == []


@pytest.mark.parametrize(
    ("op", "said"),
    [
        (Unpadded, "its output has the shape (4, 8, 10, 10); (4, 8, 12, 12) is expected"),
        (Tuple, "its output is tuple; one tensor is expected"),
        (Halved, "its output is torch.float16; that of its input, float32, is expected"),
        (Noisy, "in evaluation mode two passes differ; leave random numbers out"),
        (OfItsBatch, "an image's output depends on the others of its batch"),
        (Viewing, "when images are in channels_last; use reshape and flatten instead of view"),
        (ByMemory, "images in channels_last, as trainings have them, give another output"),
        (Unused, "no gradient reaches extra.weight, extra.bias; use it, or do not make it"),
        (Detached, "no gradient reaches its input"),
        (Unseeded, "with the same torch.manual_seed norm.bias begins with other values"),
        (Droppable, "on the meta device it has 592 parameters, and built 593"),
        (ReadingValues, "when it is counted, on the meta device; read no values of tensors"),
        (OfOtherWords, "it cannot be built (TypeError: "),
    ],
)
def test_broken_op_is_told_what_is_wrong_and_what_to_do(op: Any, said: str) -> None:
    found = faults_of_op(op, op="mine")
    assert all(fault.startswith("mine: stride 1, 8 to 8 channels, 12 px, expanded to 8: ") for fault in found)
    assert any(said in fault for fault in found), found
    assert len(found) == 1

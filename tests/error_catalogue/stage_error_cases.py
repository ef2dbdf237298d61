"""Kernels, expansions and activations that stages of a space or of an architecture do not have."""

from error_cases import Case, in_architecture, in_space

OTHER_OPS = """\
stem_channels: 16
head_channels: 32
stages:
- {op: uib, kernel_size: 3, start_kernel_size: 3, stride: 2, expansion_ratio: 4, channels: 24, layers: 1}
- {op: [basic, conv], kernel_size: 3, expansion_ratio: 1, channels: 24, layers: [1, 2]}
- {op: [bottleneck, mbconv], kernel_size: 3, expansion_ratio: [1, 4], channels: 24, layers: 1}
reference: efficientnet-b0
"""
RESIDUAL = """\
stem_channels: 64
kind: resnet
head_channels: 256
stages:
- {op: bottleneck, expansion_ratio: 4, channels: 256, layers: 1}
"""


def of_other_ops(name: str, old: str, new: str) -> Case:
    """A space of other ops in which something is replaced."""
    assert old in OTHER_OPS, old
    return Case(name, ("describe", "space.yaml"), {"space.yaml": OTHER_OPS.replace(old, new)})


STAGES = (
    of_other_ops("nothing that strides", "kernel_size: 3, start_kernel_size: 3", "kernel_size: 0"),
    of_other_ops("squeeze-excite of a UIB", "{op: uib,", "{op: uib, se_ratio: [0, 0.25],"),
    of_other_ops("a start of blocks that have none", "conv], kernel", "conv], start_kernel_size: 3, kernel"),
    of_other_ops("an expansion of plain convolutions", "expansion_ratio: 1,", "expansion_ratio: [1, 4],"),
    of_other_ops("channels that a bottleneck cannot divide", "[1, 4]", "[1, 7]"),
    Case(
        "another block in a ResNet",
        ("describe", "net.yaml"),
        {"net.yaml": RESIDUAL.replace("bottleneck, expansion_ratio: 4", "uib, expansion_ratio: 4")},
    ),
    in_space("no kernel", "[3, 5]", "[0, 3]"),
    in_space("an activation that there is not", "channels: 16,", "channels: 16, activation: [relu, swish],"),
    in_space("an expansion of a tenth", "expansion_ratio: [1, 4]", "expansion_ratio: [0.1, 4]"),
    in_architecture(
        "a second kernel of an op that has one", "mbconv, kernel_size: 3", "mbconv, start_kernel_size: 3"
    ),
    Case(
        "an activation of a ResNet",
        ("describe", "net.yaml"),
        {"net.yaml": RESIDUAL + "activation: gelu\n"},
    ),
    Case(
        "an activation of a bottleneck",
        ("describe", "net.yaml"),
        {"net.yaml": RESIDUAL.replace("layers: 1", "layers: 1, activation: gelu")},
    ),
)

"""Kernels, expansions and activations that stages of a space or of an architecture do not have."""

from error_cases import Case, in_architecture, in_space

RESIDUAL = """\
stem_channels: 64
kind: resnet
head_channels: 256
stages:
- {op: bottleneck, expansion_ratio: 4, channels: 256, layers: 1}
"""

STAGES = (
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

"""Wrong input to nas export --format and nas import, for the catalogue of messages."""

import json
from pathlib import Path
from typing import Any

from error_cases import Case
from small_files import ARCHITECTURE, SPACE

FUSED_SQUEEZE = ARCHITECTURE.replace("op: mbconv", "op: fused_mbconv")
GELU = ARCHITECTURE.replace("op: mbconv", "op: mbconv, activation: gelu")
FRACTIONAL = ARCHITECTURE.replace("expansion_ratio: 4", "expansion_ratio: 3.5")
UNEVEN = ARCHITECTURE.replace("channels: 8, layers", "channels: 9, layers")
TIMM: dict[str, Any] = {
    "arch_def": [["ir_r1_k3_s1_e4_c8_se0.25"]], "stem_size": 8, "num_features": 32, "bn_eps": 0.001
}  # fmt: skip


def export(name: str, format_name: str, text: str, *more: str) -> Case:
    """An architecture file exported to a format."""
    return Case(name, ("export", "net.yaml", "--format", format_name, *more), {"net.yaml": text})


def timm(name: str, **changes: Any) -> Case:
    """A description of timm's in which something is replaced."""
    return Case(name, ("import", "net.json", "--from", "timm"), {"net.json": json.dumps({**TIMM, **changes})})


def weights(name: str, prepare: Any, *source: str) -> Case:
    """Weights for a description of timm's, in weights.pth."""
    words = (
        "import",
        *(source or ("net.json", "--from", "timm")),
        "--weights",
        "weights.pth",
        "-o",
        "a.safetensors",
    )
    return Case(name, words, {"net.json": json.dumps(TIMM)}, prepare)


def _junk(folder: Path) -> None:
    (folder / "weights.pth").write_bytes(b"junk" * 100)


def _other(folder: Path) -> None:
    import torch

    torch.save({"fc.weight": torch.zeros(3)}, folder / "weights.pth")


EXPORTS = (
    export("an export to a format that does not exist", "keras", ARCHITECTURE),
    export("an export of a space", "timm", SPACE),
    export("an export of symmetric padding to google/automl", "automl", ARCHITECTURE),
    export(
        "an export of TensorFlow's padding to torchvision", "torchvision", ARCHITECTURE + "padding: same\n"
    ),
    export("an export of squeeze-excite in a fused block to torchvision", "torchvision", FUSED_SQUEEZE),
    export("an export of nine channels to timm", "timm", UNEVEN),
    export("an export of ReLU to torchvision", "torchvision", ARCHITECTURE + "activation: relu\n"),
    export("an export of GELU in one stage to timm", "timm", GELU),
    export("an export of an expansion of 3.5 to google/automl", "automl", FRACTIONAL, "--padding", "same"),
    export("an export of a stem without a stride", "timm", ARCHITECTURE + "stem_stride: 1\n"),
    export("an export to ONNX without a file for it", "onnx", ARCHITECTURE),
    export("an export of a trial of an architecture", "timm", ARCHITECTURE, "--trial", "3"),
    Case(
        "an export over a file that exists",
        ("export", "efficientnet-b0", "--format", "timm", "-o", "mine.json"),
        {"mine.json": "mine"},
    ),
    export("a padding that no network has", "timm", ARCHITECTURE, "--padding", "reflect"),
    export("another padding in our own format", "yaml", ARCHITECTURE, "--padding", "same"),
    Case("an export below a file", ("export", "efficientnet-b0", "-o", "mine/net.yaml"), {"mine": "mine"}),
    Case("a front in timm's words", ("export", "nowhere", "--pareto", "-o", "front", "--format", "timm")),
    Case(
        "an export of weights that are none",
        ("export", "a.safetensors", "--format", "torch", "-o", "b.safetensors"),
        {"a.safetensors": "none"},
    ),
)

IMPORTS = (
    Case("an import without a project", ("import", "efficientnet-b0")),
    Case("an import of a project that we do not read", ("import", "efficientnet-b0", "--from", "keras")),
    Case("an import of a name, misspelt", ("import", "tf_eficientnetv2_s", "--from", "timm")),
    Case("an import of a name of another project", ("import", "tf_efficientnet_b0", "--from", "torchvision")),
    Case("an import of a folder", ("import", ".", "--from", "timm")),
    Case("an import of text", ("import", "net.json", "--from", "timm"), {"net.json": "ir_r1_k3_s1_e4_c8"}),
    Case(
        "an import of half a file", ("import", "net.json", "--from", "timm"), {"net.json": '{"stem_size": 8'}
    ),
    timm("an import without a stem", stem_size=None),
    timm("an import of a key that we do not know", channel_multiplier=1.4),
    timm("an import of a block that we do not have", arch_def=[["uir_r1_k3_s1_e4_c8"]]),
    timm("an import of an expansion that expands nothing", arch_def=[["ir_r1_k3_s1_e1_c8"]]),
    timm("an import of mixed kernels", arch_def=[["ir_r1_k3.5_s1_e4_c8"]]),
    timm("an import of two strings in a stage", arch_def=[["ir_r1_k3_s1_e4_c8", "ir_r1_k5_s1_e4_c8"]]),
    timm("an import of no stage", arch_def=[]),
    timm("an import of strings that are no lists", arch_def=["ir_r1_k3_s1_e4_c8"]),
    timm("an import of another activation", act_layer="mish"),
    timm("an import of two activations in a stage", arch_def=[["ir_r1_k3_s1_e4_c8_nre_nhs"]]),
    weights("weights that are junk", _junk),
    weights("weights that are not there", lambda folder: None),
    weights("weights of another network", _other),
    weights("weights of google/automl", _other, "efficientnetv2-s", "--from", "automl"),
    Case(
        "weights without a file for them",
        ("import", "efficientnet_b0", "--from", "timm", "--weights", "weights.pth"),
    ),
    Case(
        "weights into a file of another kind",
        ("import", "efficientnet_b0", "--from", "timm", "--weights", "weights.pth", "-o", "a.onnx"),
    ),
)

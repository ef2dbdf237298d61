"""Wrong input to nas space, and to nas measure of any network, for the catalogue of messages."""

from error_cases import Case
from small_files import ARCHITECTURE, SEARCH

NETWORKS_ELSEWHERE = ("space", "net.yaml", "--from", "timm")

AROUND = (
    Case("a space around a ResNet", ("space", "resnet50", "-o", "space.yaml")),
    Case("a space around a space", ("space", "tiny")),
    Case("a space around a search file", ("space", "mine.yaml"), {"mine.yaml": SEARCH}),
    Case("a space around a network that is not there", ("space", "efficientnet-b9")),
    Case("a space around a network that timm does not have", ("space", "vit_b", "--from", "timm")),
    Case("a space around a file of ours, as one of timm's", NETWORKS_ELSEWHERE, {"net.yaml": ARCHITECTURE}),
    Case("a space of radius 0", ("space", "efficientnet-b0", "--radius", "0")),
    Case("a space with a limit on what is not limited", ("space", "efficientnet-b0", "--limit", "parms=2")),
    Case("a space with a limit that is no number", ("space", "efficientnet-b0", "--limit", "params=much")),
    Case(
        "a space with a limit given twice",
        ("space", "efficientnet-b0", "--limit", "macs=2", "--limit", "macs=3"),
    ),
    Case("a space with a limit below 1", ("space", "efficientnetv2-b0", "--limit", "params=1e-9")),
    Case("a space with a limit without bounds", ("space", "efficientnetv2-b0", "--limit", "macs=1e308")),
    Case("a space with limits that nothing keeps", ("space", "efficientnet-b0", "--limit", "params=0.1")),
    Case(
        "a space over a file that exists",
        ("space", "efficientnet-b0", "-o", "mine.yaml"),
        {"mine.yaml": "mine"},
    ),
)


def measured(name: str, *networks: str, text: str | None = None, options: tuple[str, ...] = ()) -> Case:
    """Networks that are measured, beside a module of the user's where there is a text.

    Each text is a module of its own name, because a process imports a module once.
    """
    files = {} if text is None else {f"{networks[0].partition(':')[0]}.py": text}
    return Case(name, ("measure", *networks, "--precision", "fp32", *options), files)


def own_op(name: str, op: str, *options: str) -> Case:
    """An architecture with an op of the user's own."""
    text = ARCHITECTURE.replace("op: mbconv", f"op: {op}")
    return Case(name, ("describe", "net.yaml", *options), {"net.yaml": text})


NET = """\
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear({width}, 5)

    def forward(self, images{more}):
        features = images.mean((2, 3))
        return {result}
"""
LOGITS = "self.head(features)"
EVALUATED = f"{LOGITS} if self.training else ({LOGITS}, features)"
SMALL_IMAGE = ("--input", "3x16x16")


def net(name: str, module: str, result: str = LOGITS, *, width: int = 3, more: str = "") -> Case:
    """A network that gives something, measured on small images."""
    text = NET.format(width=width, result=result, more=more)
    return measured(name, f"{module}:Net", text=text, options=SMALL_IMAGE)


MODULES = (
    measured("a module to measure that is not there", "no_module_here:Net"),
    Case("a module to measure as a file", ("measure", "net.py:Net"), {"net.py": "net = 3\n"}),
    measured(
        "a network that its module does not have",
        "case_lacking:Ned",
        text=NET.format(width=3, result=LOGITS, more=""),
    ),
    measured(
        "a network within a value of its module",
        "case_within:CONFIG.Net",
        text="CONFIG = {'a': 1}\n",
    ),
    measured("a module of our own name to measure", "trials.net:Net"),
    measured("a module that is no Python", "case_syntax:Net", text="class Net(:\n"),
    measured(
        "a module that imports what is not there", "case_import:Net", text="import torch\nimport no_such\n"
    ),
    measured("a module that ends the process", "case_exit:Net", text="import sys\nsys.exit(1)\n"),
    measured("a value that is measured as a network", "case_value:net", text="net = 3\n"),
    measured(
        "a function to measure that needs arguments",
        "case_needing:make",
        text="def make(width):\n    return width\n",
    ),
    measured(
        "a function to measure that gives no network",
        "case_nothing:make",
        text="def make():\n    return None\n",
    ),
    measured(
        "a network whose weights are in a file that is not there",
        "case_file:make",
        text="import torch\n\n\ndef make():\n    return torch.load('weights.pth')\n",
    ),
    net("a network whose layers do not fit together", "case_width", width=4),
    net("a network of several outputs", "case_several", f"({LOGITS}, features)"),
    net("a network of named outputs", "case_named", f"{{'logits': {LOGITS}}}"),
    net("a network of several outputs in evaluation", "case_evaluated", EVALUATED),
    net("a network of outputs for each pixel", "case_pixels", f"{LOGITS}[:, :, None]"),
    net("a network that nothing can be learnt from", "case_constant", f"{LOGITS}.detach()"),
    net("a network that needs more than images", "case_masked", more=", mask"),
    measured(
        "a network of lazy layers",
        "case_lazy:make",
        text="from torch import nn\n\n\ndef make():\n    return nn.Sequential(nn.Flatten(), nn.LazyLinear(5))"
        "\n",
        options=SMALL_IMAGE,
    ),
    measured(
        "a network of other classes than the first",
        "case_classes:Net",
        text=NET.format(width=3, result=LOGITS, more=""),
        options=("--classes", "9", *SMALL_IMAGE),
    ),
    own_op("an op of code that nobody trusts", "my_ops:Ghost"),
    own_op("an op of a path", "../my_ops:Ghost"),
    own_op("a trusted package that is none", "my_ops:Ghost", "--trust", "my_ops.py/"),
    own_op("an op of a module that is not there", "my_ops:Ghost", "--trust", "my_ops"),
    own_op("an op of this project", "nas.cli:app"),
    own_op("an op that is no network", "collections:Counter", "--trust", "collections"),
    own_op("an op that breaks the contract", "torch.nn:Identity", "--trust", "torch"),
    measured("a network of timm where it is not installed", "timm:resnet50"),
    measured("images of one channel to measure with", "efficientnet-b0", options=("--input", "1x28x28")),
    measured("images that are no squares to measure with", "efficientnet-b0", options=("--input", "3x32x64")),
    measured("a shape of images that is none", "efficientnet-b0", options=("--input", "224")),
    measured(
        "a shape and a resolution that differ",
        "efficientnet-b0",
        options=("--input", "3x64x64", "--resolution", "32"),
    ),
)

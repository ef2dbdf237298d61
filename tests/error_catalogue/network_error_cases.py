"""Wrong input to nas space, for the catalogue of messages."""

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
    Case("a space with limits that nothing keeps", ("space", "efficientnet-b0", "--limit", "params=0.1")),
    Case(
        "a space over a file that exists",
        ("space", "efficientnet-b0", "-o", "mine.yaml"),
        {"mine.yaml": "mine"},
    ),
)

"""Wrong input to nas scale, for the catalogue of messages."""

from error_cases import Case


def scaling(
    name: str, *options: str, source: str = "efficientnet-b0", files: dict[str, str] | None = None
) -> Case:
    """A network scaled with these options."""
    return Case(name, ("scale", source, *options), files or {})


FOUND = """stem_channels: 16
stages:
- {op: mbconv, stride: 1, expansion_ratio: 1, channels: 16, layers: 2}
- {op: mbconv, stride: 2, expansion_ratio: 4, channels: 24, layers: 2}
- {op: mbconv, stride: 1, expansion_ratio: 4, channels: 32, layers: 1}
head_channels: 64
"""
THIRDS = """stem_channels: 24
stages:
- {op: bottleneck, stride: 2, expansion_ratio: 3, channels: 24, layers: 2}
head_channels: 64
"""
LIKE_M = ("--like", "efficientnetv2-m")


SCALES = (
    scaling("no members asked for"),
    scaling("a published network to scale, misspelt", "--phi", "1", source="efficientnet-bo"),
    scaling("a space to scale", "--phi", "1", source="tiny"),
    scaling("a phi beyond all bounds", "--phi", "60"),
    scaling("a phi that makes images too small", "--phi", "-15"),
    scaling("a phi that is no number", "--phi", "large"),
    scaling("a member of too many layers", "--depth", "16", "--width", "16"),
    scaling(
        "channels that a bottleneck's ratio does not divide",
        *("--depth", "1.2", "--width", "1.3"),
        source="thirds.yaml",
        files={"thirds.yaml": THIRDS},
    ),
    scaling("a factor that is meant in pixels", "--resolution", "300"),
    scaling("a factor of zero", "--width", "0"),
    scaling("an alpha below 1", "--phi", "1", "--alpha", "0.8"),
    scaling("a formula in which nothing grows", "--phi", "1", "--alpha", "1", "--beta", "1", "--gamma", "1"),
    scaling("a rounding that does not exist", "--phi", "1", "--rounding", "v3"),
    scaling("coefficients that were never published", "--like", "efficientnet-b9"),
    scaling("coefficients of a misspelt network", "--like", "efficientnet-bo"),
    scaling("coefficients of a network set by hand", "--like", "efficientnetv2-xl"),
    scaling("a network of another generation to scale like V2-M", *LIKE_M, source="efficientnet-b4"),
    scaling(
        "stages that do not map onto those of V2-S", *LIKE_M, source="found.yaml", files={"found.yaml": FOUND}
    ),
    scaling("a base that stands for a misspelt network", *LIKE_M, "--from", "efficientnetv2-ss"),
    scaling("a base that stands for a network, without --like", "--phi", "1", "--from", "efficientnetv2-s"),
    scaling("late layers beside a published network's", *LIKE_M, "--late-layers"),
    scaling(
        "late layers that rounding hides",
        *("--depth", "1.2", "--late-layers"),
        source="found.yaml",
        files={"found.yaml": FOUND},
    ),
    scaling("the first paper's sizes beside a published V2 network's", *LIKE_M, "--v1"),
    scaling("a budget that no member meets", "--params", "1000"),
    scaling("two budgets that no member meets", "--params", "1000", "--macs", "1000"),
    scaling("a budget of less than nothing", "--macs=-5"),
    scaling(
        "two budgets of several values",
        "--params",
        "1e6",
        "--params",
        "2e6",
        "--macs",
        "1e8",
        "--macs",
        "2e8",
    ),
    scaling("hours of a training of no length", "--hours", "3"),
    scaling("a training without hours", "--params", "5e6", "--epochs", "10", "--images", "50000"),
    scaling("a base smaller than its total stride", "--phi", "1", "--base-resolution", "16"),
    scaling("a family in a file", "--phi", "1", "-o", "family", files={"family": "text"}),
    scaling("a family below a file", "--phi", "1", "-o", "family/a", files={"family": "text"}),
    scaling(
        "a member that exists already", "--phi", "1", "-o", ".", files={"efficientnet-b0-phi1.yaml": "mine"}
    ),
)

"""Maps the names of a network's tensors to those in timm's and torchvision's state dicts."""

from collections.abc import Callable, Iterator

from search_spaces.interchange.block_tokens import refuse_other_kind
from search_spaces.networks.architecture import Architecture, Block
from search_spaces.networks.parts import NORM, block_parts, expands, numbered_blocks

Pair = tuple[str, str]  # two names that belong together: ours and theirs, or a convolution and its batch norm

TIMM_LAYERS = {  # (block type, part of the block): timm's names of the convolution and its batch norm
    ("ir", "expand"): ("conv_pw", "bn1"),
    ("ir", "depthwise"): ("conv_dw", "bn2"),
    ("ir", "project"): ("conv_pwl", "bn3"),
    ("ds", "depthwise"): ("conv_dw", "bn1"),
    ("ds", "project"): ("conv_pw", "bn2"),
    ("er", "fused"): ("conv_exp", "bn1"),
    ("er", "project"): ("conv_pwl", "bn2"),
    ("cn", "fused"): ("conv", "bn1"),
}


def foreign_names(architecture: Architecture, library: str) -> dict[str, str]:
    """The name in `library` ("timm" or "torchvision") of each of our tensors.

    Batch norm's counters of batches are left out; nothing reads them.

    Raises:
        ConfigError: the library does not have such blocks.
    """
    refuse_other_kind(architecture, who=library)
    name_ends, name_block = LIBRARIES[library]
    stem, head, classifier = name_ends(sum(stage.layers > 0 for stage in architecture.stages))
    names = dict(_normalised("stem", *stem))
    names |= _normalised("head", *head)
    names |= {f"classifier.{tensor}": f"{classifier}.{tensor}" for tensor in ("weight", "bias")}
    for block, ours, stage, index in _numbered(architecture):
        names |= name_block(block, ours, stage, index)
    return names


def _numbered(architecture: Architecture) -> Iterator[tuple[Block, str, int, int]]:
    """(block, our name of it, number of its stage among those with layers, number in the stage), from 0."""
    there = -1
    for i, j, block in numbered_blocks(architecture):
        there += j == 0
        yield block, f"stages.{i}.{j}", there, j


def _normalised(ours: str, convolution: str, norm: str) -> Iterator[Pair]:
    yield f"{ours}.0.weight", f"{convolution}.weight"
    for tensor in NORM:
        yield f"{ours}.1.{tensor}", f"{norm}.{tensor}"


def _squeeze(ours: str, reduce: str, expand: str) -> Iterator[Pair]:
    for own, other in (("reduce", reduce), ("expand", expand)):
        for tensor in ("weight", "bias"):
            yield f"{ours}.{own}.{tensor}", f"{other}.{tensor}"


def _timm_ends(stages: int) -> tuple[Pair, Pair, str]:
    return ("conv_stem", "bn1"), ("conv_head", "bn2"), "classifier"


def _timm_block(block: Block, ours: str, stage: int, index: int) -> dict[str, str]:
    kinds = ("ir", "ds") if block.op == "mbconv" else ("er", "cn")
    kind = kinds[0] if expands(block) else kinds[1]
    there = f"blocks.{stage}.{index}"
    names: dict[str, str] = {}
    for part, own in block_parts(block):
        if part == "squeeze":
            names |= _squeeze(f"{ours}.{own}", f"{there}.se.conv_reduce", f"{there}.se.conv_expand")
        else:
            convolution, norm = TIMM_LAYERS[kind, part]
            names |= _normalised(f"{ours}.{own}", f"{there}.{convolution}", f"{there}.{norm}")
    return names


def _torchvision_ends(stages: int) -> tuple[Pair, Pair, str]:
    last = f"features.{stages + 1}"
    return ("features.0.0", "features.0.1"), (f"{last}.0", f"{last}.1"), "classifier.1"


def _torchvision_block(block: Block, ours: str, stage: int, index: int) -> dict[str, str]:
    names: dict[str, str] = {}
    for i, (part, own) in enumerate(block_parts(block)):
        there = f"features.{stage + 1}.{index}.block.{i}"
        if part == "squeeze":
            names |= _squeeze(f"{ours}.{own}", f"{there}.fc1", f"{there}.fc2")
        else:
            names |= _normalised(f"{ours}.{own}", f"{there}.0", f"{there}.1")
    return names


Ends = Callable[[int], tuple[Pair, Pair, str]]
Blocks = Callable[[Block, str, int, int], dict[str, str]]
LIBRARIES: dict[str, tuple[Ends, Blocks]] = {
    "timm": (_timm_ends, _timm_block),
    "torchvision": (_torchvision_ends, _torchvision_block),
}

"""Parts of a network and their tensors, by name and shape, without building it.

Tests compare them with the modules of `blocks.py` and `network.py`. Blocks of the user's own ops, and
ResNet's, have parts that are not described here.
"""

from collections.abc import Iterator

from search_spaces.networks.architecture import Architecture, Block

NORM = ("weight", "bias", "running_mean", "running_var")  # tensors of a batch norm that are weights
DESCRIBED = ("mbconv", "fused_mbconv")  # ops with parts that are described here
Shape = tuple[int, ...]


def expands(block: Block) -> bool:
    """True if the block has a convolution to more channels and one back; at expansion 1 it lacks one."""
    return block.expanded_channels != block.in_channels


def block_parts(block: Block) -> list[tuple[str, str]]:
    """(kind, our name) of each part of a block, in the order of computation.

    Kinds are expand, depthwise, fused and project, each a convolution with its batch norm, and squeeze.
    """
    if block.op == "mbconv":
        named = [("expand", "expand")] if expands(block) else []
        named += [("depthwise", "depthwise"), ("squeeze", "squeeze_excite"), ("project", "project")]
    elif expands(block):
        named = [("fused", "branch.0"), ("squeeze", "branch.1"), ("project", "branch.2")]
    else:
        named = [("squeeze", "branch.0"), ("fused", "branch.1")]
    return [part for part in named if part[0] != "squeeze" or block.squeeze_channels]


def part_shapes(block: Block) -> dict[str, Shape]:
    """The shapes of a block's tensors by `kind.tensor`, such as `project.0.weight`, the convolution's."""
    width, kernel = block.expanded_channels, (block.kernel_size, block.kernel_size)
    fused_width = width if expands(block) else block.out_channels
    convolutions: dict[str, Shape] = {
        "expand": (width, block.in_channels, 1, 1),
        "depthwise": (width, 1, *kernel),
        "fused": (fused_width, block.in_channels, *kernel),
        "project": (block.out_channels, width, 1, 1),
    }
    shapes: dict[str, Shape] = {}
    for kind, _ in block_parts(block):
        if kind == "squeeze":
            shapes["squeeze.reduce.weight"] = (block.squeeze_channels, width, 1, 1)
            shapes["squeeze.reduce.bias"] = (block.squeeze_channels,)
            shapes["squeeze.expand.weight"] = (width, block.squeeze_channels, 1, 1)
            shapes["squeeze.expand.bias"] = (width,)
        else:
            shapes |= normalised_shapes(kind, convolutions[kind])
    return shapes


def normalised_shapes(name: str, convolution: Shape) -> dict[str, Shape]:
    """The shapes of a convolution and its batch norm by name."""
    norm = {f"{name}.1.{tensor}": (convolution[0],) for tensor in NORM}
    return {f"{name}.0.weight": convolution, **norm}


def tensor_names(block: Block, name: str) -> dict[str, str]:
    """The full name of each tensor of `part_shapes`, in a network that has the block at `name`."""
    paths = dict(block_parts(block))
    split = (key.partition(".") for key in part_shapes(block))
    return {f"{kind}.{rest}": f"{name}.{paths[kind]}.{rest}" for kind, _, rest in split}


def end_shapes(
    stem_channels: int, head_channels: int, last_channels: int, *, num_classes: int = 1
) -> dict[str, Shape]:
    """The shapes of an EfficientNet's stem, head and classifier by name; `last_channels` enter the head."""
    return {
        **normalised_shapes("stem", (stem_channels, 3, 3, 3)),
        **normalised_shapes("head", (head_channels, last_channels, 1, 1)),
        "classifier.weight": (num_classes, head_channels),
        "classifier.bias": (num_classes,),
    }


def numbered_blocks(architecture: Architecture) -> Iterator[tuple[int, int, Block]]:
    """(index of its stage, index in the stage, block) of all blocks, which are at `stages.{}.{}`."""
    channels = architecture.stem_channels
    for i, stage in enumerate(architecture.stages):
        for j, block in enumerate(stage.blocks(channels)):
            yield i, j, block
        channels = stage.channels if stage.layers else channels

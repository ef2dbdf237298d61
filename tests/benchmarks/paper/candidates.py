"""The networks that the paper's tables compare: ours by published name, timm's where timm imports."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from nas.scaling.published import PUBLISHED
from search_spaces.networks.architecture import Architecture
from search_spaces.networks.counting import count, count_module
from search_spaces.networks.network import build_network
from search_spaces.settings.yaml_files import read_yaml

NUM_CLASSES = 1000
# The paper's names, and timm's name with the size in pixels at which the comparator's own paper evaluates it.
TIMM = {
    "regnety-8gf": ("regnety_080", 224),
    "regnety-16gf": ("regnety_160", 224),
    "resnest-101": ("resnest101e", 256),
    "resnest-200": ("resnest200e", 320),
    "resnest-269": ("resnest269e", 416),
    "nfnet-f0": ("dm_nfnet_f0", 256),
    "nfnet-f1": ("dm_nfnet_f1", 320),
    "nfnet-f2": ("dm_nfnet_f2", 352),
    "resnet-rs-420": ("resnetrs420", 320),
    "vit-b-32": ("vit_base_patch32_384", 384),
    "vit-b-16": ("vit_base_patch16_384", 384),
    "deit-b": ("deit_base_patch16_224", 224),
    "deit-b-384": ("deit_base_patch16_384", 384),
}


@dataclass(frozen=True)
class Candidate:
    """A network and the size at which it is used; `params` and `macs` are counted."""

    name: str
    resolution: int
    params: int
    macs: int  # of one image at that size
    build: Callable[[], nn.Module]
    source: str = "ours"
    architecture: Architecture | None = None


def ours(name: str, *, resolution: int | None = None, num_classes: int = NUM_CLASSES) -> Candidate:
    """A published network of ours, or a file's; unless told otherwise at the size that its code evaluates."""
    size = resolution or (PUBLISHED[name].inference if name in PUBLISHED else 224)
    architecture = read_yaml(Architecture, name)
    return candidate(Path(name).stem, architecture, resolution=size, num_classes=num_classes)


def candidate(
    name: str, architecture: Architecture, *, resolution: int, num_classes: int = NUM_CLASSES
) -> Candidate:
    """An architecture at a size."""
    counts = count(architecture, num_classes=num_classes, resolution=resolution)
    build = partial(build_network, architecture, num_classes=num_classes)
    return Candidate(name, resolution, counts.params, counts.macs, build, architecture=architecture)


def timm_module() -> Any | None:
    """timm, or None: it is not there, or breaks on another torchvision."""
    try:
        import timm
    except (ImportError, RuntimeError):
        return None
    return timm


def timm_candidates(names: Iterable[str], *, resolution: int | None = None) -> list[Candidate]:
    """Those of the paper's comparators that timm builds here; says so where it does not."""
    timm = timm_module()
    wanted = [name for name in names if name in TIMM]
    if timm is None:
        print(f"timm does not import here: {len(wanted)} rows of other networks are left out", flush=True)
        return []
    found = []
    for name in wanted:
        timm_name, own = TIMM[name]
        size = resolution or own
        settings: dict[str, Any] = {"num_classes": NUM_CLASSES}
        if "vit" in timm_name or "deit" in timm_name:
            settings["img_size"] = size
        try:
            with torch.device("meta"):
                figures = count_module(timm.create_model(timm_name, **settings), 1, 3, size, size)
        except (RuntimeError, ValueError) as error:
            print(f"timm does not build {timm_name} here: {str(error).splitlines()[0]}", flush=True)
            continue
        build = partial(timm.create_model, timm_name, **settings)
        found.append(Candidate(name, size, figures.params, figures.macs, build, source="timm"))
    return found

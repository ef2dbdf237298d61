"""Our networks against timm's and torchvision's: equal parameters, and equal outputs from equal weights.

The project does not depend on timm and torchvision; where they cannot be imported these tests are skipped:
    pip install --no-deps timm==1.0.31 torchvision==0.28.0 safetensors huggingface_hub
"""

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from search_spaces.architecture import Architecture, Padding, Stage
from search_spaces.counting import count
from search_spaces.network import build_network
from search_spaces.space import SearchSpace
from search_spaces.yaml_io import read_yaml

EPSILON = 1e-3
NUM_CLASSES = 10
TOLERANCE = 1e-5
PADDINGS: tuple[Padding, ...] = ("symmetric", "same")
NAMED = {
    ("efficientnetv2-s", "symmetric"): "efficientnetv2_s",
    ("efficientnetv2-s", "same"): "tf_efficientnetv2_s",
    ("efficientnetv2-b0", "same"): "tf_efficientnetv2_b0",
    ("efficientnet-b0", "symmetric"): "efficientnet_b0",
    ("efficientnet-b0", "same"): "tf_efficientnet_b0",
}


# ---------------------------------------------------------------------- the other libraries


@pytest.fixture(scope="module")
def others() -> SimpleNamespace:
    """What is used of timm and torchvision; a skip where they cannot be imported."""
    try:
        return import_others()
    except Exception as error:  # a wheel for another torch raises RuntimeError, a missing one ImportError
        pytest.skip(f"timm and torchvision: {type(error).__name__}: {error}")


def import_others() -> SimpleNamespace:
    try:
        return _import_others()
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
    # torchvision's compiled operators do not load beside a CPU-only torch, and its import needs their names.
    for name in [name for name in sys.modules if name.split(".")[0] in ("torchvision", "timm")]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in ("nms", "qnms"):
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    found = _import_others()
    found.library = library  # the operators' names live as long as it
    return found


def _import_others() -> SimpleNamespace:
    import timm
    from timm.models._efficientnet_builder import decode_arch_def
    from timm.models.efficientnet import EfficientNet
    from torchvision import models

    return SimpleNamespace(
        create_model=timm.create_model,
        decode_arch_def=decode_arch_def,
        EfficientNet=EfficientNet,
        torchvision_models=models,
    )


def timm_string(stage: Stage) -> str:
    """The stage in timm's grammar: ds is an MBConv without expansion, er a Fused-MBConv, cn one of e = 1."""
    squeeze = f"_se{stage.se_ratio:g}" if stage.se_ratio else ""
    shape = f"r{stage.layers}_k{stage.kernel_size}_s{stage.stride}_e{stage.expansion_ratio}_c{stage.channels}"
    if stage.op == "mbconv":
        return f"{'ds' if stage.expansion_ratio == 1 else 'ir'}_{shape}{squeeze}"
    if stage.expansion_ratio == 1:
        assert not squeeze, "timm has no squeeze-excite in cn"
        return f"cn_{shape}_skip"
    return f"er_{shape}{squeeze}"


def built_by_timm(others: SimpleNamespace, architecture: Architecture, *, num_classes: int) -> nn.Module:
    strings = [[timm_string(stage)] for stage in architecture.stages if stage.layers]
    return others.EfficientNet(
        block_args=others.decode_arch_def(strings),
        num_classes=num_classes,
        num_features=architecture.head_channels,
        stem_size=architecture.stem_channels,
        fix_stem=True,
        pad_type="same" if architecture.padding == "same" else "",
        act_layer=nn.SiLU,
        norm_layer=partial(nn.BatchNorm2d, eps=EPSILON),
    )


# ---------------------------------------------------------------------- comparing


def random_architectures(number: int) -> list[Architecture]:
    """Members of the paper's space, the same on every run."""
    space = read_yaml(SearchSpace, "paper")
    rng, choice_space = np.random.default_rng(2021), space.choice_space()
    return [space.decode(choice_space.sample(rng)) for _ in range(number)]


@torch.no_grad()
def with_random_norms(network: nn.Module) -> nn.Module:
    """Batch norms with statistics and weights of their own each, as in a trained network."""
    ranges = {
        "running_mean": (-0.2, 0.2),
        "running_var": (0.5, 1.5),
        "weight": (0.7, 1.3),
        "bias": (-0.2, 0.2),
    }
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for name, (low, high) in ranges.items():
                getattr(module, name).uniform_(low, high)
    return network.eval()


def with_tensors_of(network: nn.Module, source: nn.Module) -> nn.Module:
    """The network with the source's tensors, the first for the first and so on; all shapes must agree."""
    values = source.state_dict().values()
    network.load_state_dict(dict(zip(network.state_dict(), values, strict=True)))
    return network.eval()


@torch.no_grad()
def largest_difference(architecture: Architecture, other: nn.Module, *, epsilon: float = EPSILON) -> float:
    """Between our outputs and the other network's, from one set of weights, on images of 64 and 65 px."""
    torch.manual_seed(0)
    ours = build_network(architecture, num_classes=NUM_CLASSES, batch_norm_epsilon=epsilon)
    with_tensors_of(other, with_random_norms(ours))
    epsilons = {module.eps for module in other.modules() if isinstance(module, nn.BatchNorm2d)}
    assert epsilons == {epsilon}
    differences = []
    for side in (64, 65):
        images = torch.randn(2, 3, side, side)
        outputs = ours(images)
        assert outputs.abs().max() > 0.1  # outputs of nothing would agree, too
        differences.append((outputs - other(images)).abs().max().item())
    return max(differences)


# ---------------------------------------------------------------------- the tests


def test_random_architectures_have_timms_parameters(others: SimpleNamespace) -> None:
    for architecture in random_architectures(50):
        with torch.device("meta"):
            other = built_by_timm(others, architecture, num_classes=1000)
        expected = sum(parameter.numel() for parameter in other.parameters())
        assert count(architecture, num_classes=1000, resolution=64).params == expected


@pytest.mark.parametrize("path", sorted(Architecture.SHIPPED.glob("*.yaml")), ids=lambda path: path.stem)
def test_published_networks_have_timms_parameters(others: SimpleNamespace, path: Path) -> None:
    timm_name = path.stem if path.stem.startswith("resnet") else "tf_" + path.stem.replace("-", "_")
    with torch.device("meta"):
        other = others.create_model(timm_name, num_classes=1000)
    expected = sum(parameter.numel() for parameter in other.parameters())
    assert count(read_yaml(Architecture, path), num_classes=1000, resolution=64).params == expected


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("index", range(10))
def test_random_architectures_have_timms_outputs(
    others: SimpleNamespace, index: int, padding: Padding
) -> None:
    architecture = replace(random_architectures(10)[index], padding=padding)
    other = built_by_timm(others, architecture, num_classes=NUM_CLASSES)
    assert largest_difference(architecture, other) <= TOLERANCE


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("name", ["efficientnetv2-s", "efficientnetv2-b0", "efficientnet-b0"])
def test_published_networks_have_timms_outputs(others: SimpleNamespace, name: str, padding: Padding) -> None:
    architecture = replace(read_yaml(Architecture, name), padding=padding)
    timm_name = NAMED.get((name, padding))
    if timm_name is None:
        other = built_by_timm(others, architecture, num_classes=NUM_CLASSES)
    else:
        other = others.create_model(timm_name, num_classes=NUM_CLASSES, bn_eps=EPSILON)
    assert largest_difference(architecture, other) <= TOLERANCE


def test_the_comparison_sees_another_padding(others: SimpleNamespace) -> None:
    other = others.create_model("tf_efficientnet_b0", num_classes=NUM_CLASSES, bn_eps=EPSILON)
    assert largest_difference(read_yaml(Architecture, "efficientnet-b0"), other) > 100 * TOLERANCE


@pytest.mark.parametrize(
    ("name", "build", "epsilon"),
    [
        ("efficientnetv2-s", lambda models: models.efficientnet_v2_s, 1e-3),
        ("efficientnet-b0", lambda models: models.efficientnet_b0, 1e-5),
        ("efficientnet-b4", lambda models: models.efficientnet_b4, 1e-5),
        ("resnet50", lambda models: models.resnet50, 1e-5),
    ],
)
def test_published_networks_have_torchvisions_outputs(
    others: SimpleNamespace, name: str, build: Callable[..., Callable[..., nn.Module]], epsilon: float
) -> None:
    other = build(others.torchvision_models)(num_classes=NUM_CLASSES)
    assert largest_difference(read_yaml(Architecture, name), other, epsilon=epsilon) <= TOLERANCE

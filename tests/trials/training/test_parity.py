"""Our networks against timm's and torchvision's: equal parameters, and equal outputs from equal weights.

The project does not depend on timm and torchvision; where they cannot be imported these tests are skipped:
    pip install --no-deps timm==1.0.31 torchvision==0.28.0 safetensors huggingface_hub
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import get_args

import numpy as np
import pytest
import torch
from other_libraries import import_others, random_architectures
from torch import nn

from nas.interchange.library_check import library_check, library_network, with_random_norms
from search_spaces.interchange.files import Imported, published_names, read_foreign
from search_spaces.interchange.tensor_names import foreign_names
from search_spaces.networks.architecture import Architecture, Padding, Stage
from search_spaces.networks.counting import count
from search_spaces.networks.network import build_network
from search_spaces.networks.stage_fields import Activation
from search_spaces.settings.config_error import ConfigError
from search_spaces.settings.yaml_files import read_yaml
from trials.training.foreign_weights import foreign_network

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
    ("mobilenetv2", "symmetric"): "mobilenetv2_100",
    ("mnasnet-a1", "symmetric"): "semnasnet_100",
}
UNLIKE_OURS = {name: NAMED[name, "symmetric"] for name in ("mobilenetv2", "mnasnet-a1")}


# ---------------------------------------------------------------------- the other libraries


@pytest.fixture(scope="module")
def others() -> SimpleNamespace:
    """What is used of timm and torchvision; a skip where they cannot be imported."""
    try:
        return import_others()
    except Exception as error:  # a wheel for another torch raises RuntimeError, a missing one ImportError
        pytest.skip(f"timm and torchvision: {type(error).__name__}: {error}")


# ---------------------------------------------------------------------- comparing


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
            other = library_network("timm", architecture, num_classes=1000)
        expected = sum(parameter.numel() for parameter in other.parameters())
        assert count(architecture, num_classes=1000, resolution=64).params == expected


@pytest.mark.parametrize("path", sorted(Architecture.SHIPPED.glob("*.yaml")), ids=lambda path: path.stem)
def test_published_networks_have_timms_parameters(others: SimpleNamespace, path: Path) -> None:
    timm_name = path.stem if path.stem.startswith("resnet") else "tf_" + path.stem.replace("-", "_")
    timm_name = UNLIKE_OURS.get(path.stem, timm_name)
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
    other = library_network("timm", architecture, num_classes=NUM_CLASSES)
    assert largest_difference(architecture, other) <= TOLERANCE


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize(
    "name", ["efficientnetv2-s", "efficientnetv2-b0", "efficientnet-b0", "mobilenetv2", "mnasnet-a1"]
)
def test_published_networks_have_timms_outputs(others: SimpleNamespace, name: str, padding: Padding) -> None:
    architecture = replace(read_yaml(Architecture, name), padding=padding)
    timm_name = NAMED.get((name, padding))
    if timm_name is None:
        other = library_network("timm", architecture, num_classes=NUM_CLASSES)
    else:
        other = others.create_model(timm_name, num_classes=NUM_CLASSES, bn_eps=EPSILON)
    assert largest_difference(architecture, other) <= TOLERANCE


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("activation", get_args(Activation))
def test_other_kernels_ratios_and_activations_have_timms_outputs(
    others: SimpleNamespace, activation: Activation, padding: Padding
) -> None:
    stages = (
        Stage(op="fused_mbconv", kernel_size=7, stride=2, expansion_ratio=3.5, channels=24, layers=1),
        Stage(op="mbconv", kernel_size=9, expansion_ratio=2, channels=24, layers=2, se_ratio=0.25),
        Stage(op="mbconv", kernel_size=1, expansion_ratio=1, channels=16, layers=2, se_ratio=0.5),
        Stage(op="fused_mbconv", kernel_size=5, expansion_ratio=1, channels=16, layers=2, activation="relu"),
        Stage(op="mbconv", kernel_size=11, expansion_ratio=0.5, channels=16, layers=1, activation="relu6"),
    )
    architecture = Architecture(
        stem_channels=16, stages=stages, head_channels=64, activation=activation, padding=padding
    )
    other = library_network("timm", architecture, num_classes=NUM_CLASSES)
    assert largest_difference(architecture, other) <= TOLERANCE


def test_comparison_with_timm_sees_another_padding(others: SimpleNamespace) -> None:
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


# ---------------------------------------------------------------------- what we write and read of theirs


def by_name(others: SimpleNamespace, library: str, name: str, num_classes: int) -> nn.Module:
    if library == "timm":
        return others.create_model(name, num_classes=num_classes)
    return getattr(others.torchvision_models, name)(num_classes=num_classes)


@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_published_state_dicts_have_the_names_and_shapes_that_we_read(
    others: SimpleNamespace, library: str
) -> None:
    for name in published_names(library):
        architecture = read_foreign(library, name).architecture
        with torch.device("meta"):
            state = by_name(others, library, name, NUM_CLASSES).state_dict()
            own = build_network(architecture, num_classes=NUM_CLASSES).state_dict()
        names = foreign_names(architecture, library)
        assert set(names.values()) == {key for key in state if "num_batches_tracked" not in key}, name
        assert all(own[ours].shape == state[theirs].shape for ours, theirs in names.items()), name


@pytest.mark.parametrize(
    ("library", "name"),
    [
        ("timm", "tf_efficientnetv2_b0"),
        ("timm", "efficientnetv2_s"),
        ("timm", "efficientnet_b0"),
        ("timm", "mobilenetv2_100"),
        ("timm", "semnasnet_100"),
        ("torchvision", "efficientnet_v2_s"),
        ("torchvision", "efficientnet_b0"),
        ("torchvision", "efficientnet_b4"),
    ],
)
@torch.no_grad()
def test_imported_weights_of_published_networks_give_the_librarys_outputs(
    others: SimpleNamespace, library: str, name: str
) -> None:
    torch.manual_seed(0)
    imported = read_foreign(library, name)
    other = with_random_norms(by_name(others, library, name, NUM_CLASSES))
    plain = Imported(imported.architecture, imported.epsilon)  # pixels are the subject of another test
    ours = foreign_network(plain, library, other.state_dict(), name=name)
    images = torch.randn(2, 3, 64, 64)
    outputs = other(images)
    assert outputs.abs().max() > 0.1
    assert (ours(images) - outputs).abs().max() <= TOLERANCE * max(1, outputs.abs().max())


@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_exports_are_checked_against_the_librarys_own_network(others: SimpleNamespace, library: str) -> None:
    said = library_check(library, random_architectures(1)[0])
    assert said.startswith(f"{library}'s own network has as many, and outputs within")


def odd_architecture(rng: np.random.Generator) -> Architecture:
    """Any stages at all: most of these networks cannot be expressed there."""
    stages = [
        Stage(
            op=str(rng.choice(["mbconv", "fused_mbconv"])),  # type: ignore[arg-type]
            kernel_size=int(rng.choice([3, 5])),  # type: ignore[arg-type]
            stride=int(rng.choice([1, 2])),  # type: ignore[arg-type]
            expansion_ratio=int(rng.choice([1, 1, 2, 3, 4, 6])),
            channels=int(rng.choice([4, 8, 12, 16, 20, 24, 30, 40, 56])),
            layers=int(rng.integers(1, 4)),
            se_ratio=float(rng.choice([0, 0, 0.25, 0.25, 0.1, 0.5])),
        )
        for _ in range(rng.integers(1, 4))
    ]
    stem, head = rng.choice([4, 8, 12, 16, 22, 32]), rng.choice([50, 64])
    return Architecture(stem_channels=int(stem), stages=tuple(stages), head_channels=int(head))


@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_networks_that_a_library_does_not_refuse_are_built_there_as_meant(
    others: SimpleNamespace, library: str
) -> None:
    rng, expressed = np.random.default_rng(5), 0
    for _ in range(400):
        architecture = odd_architecture(rng)
        try:
            with torch.device("meta"):
                other = library_network(library, architecture, num_classes=NUM_CLASSES)
        except ConfigError:
            continue
        expressed += 1
        own = build_network(architecture, num_classes=NUM_CLASSES).state_dict()
        state, names = other.state_dict(), foreign_names(architecture, library)
        assert set(names.values()) == {key for key in state if "num_batches_tracked" not in key}
        assert all(own[ours].shape == state[theirs].shape for ours, theirs in names.items()), architecture
    assert expressed >= 20

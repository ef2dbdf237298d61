"""UIB, ConvNeXt and ResNet against timm's: equal outputs from equal weights; skipped without timm."""

from types import SimpleNamespace

import pytest
import torch
from other_libraries import import_others
from torch import nn

from nas.interchange.library_check import with_random_norms
from search_spaces.networks.architecture import Architecture, Stage
from search_spaces.networks.blocks import BLOCKS
from search_spaces.networks.network import build_network
from search_spaces.settings.yaml_files import read_yaml

TOLERANCE = 1e-5
EPSILON = 1e-5  # of timm's batch norms here


@pytest.fixture(scope="module")
def others() -> SimpleNamespace:
    """timm; a skip where it cannot be imported."""
    try:
        return import_others()
    except Exception as error:  # a wheel for another torch raises RuntimeError, a missing one ImportError
        pytest.skip(f"timm: {type(error).__name__}: {error}")


def with_tensors_of(network: nn.Module, source: nn.Module) -> nn.Module:
    """The network with the source's tensors, the first for the first and so on; all shapes must agree."""
    values = [tensor for name, tensor in source.state_dict().items() if "num_batches" not in name]
    names = [name for name in network.state_dict() if "num_batches" not in name]
    network.load_state_dict(dict(zip(names, values, strict=True)), strict=False)
    return network.eval()


def assert_equal(own: nn.Module, theirs: nn.Module, features: torch.Tensor) -> None:
    with torch.no_grad():
        wanted = theirs.eval()(features)
        found = own(features)
    assert found.shape == wanted.shape
    assert (found - wanted).abs().max() <= TOLERANCE * wanted.abs().max()


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50"])
def test_resnets_give_timms_outputs(others: SimpleNamespace, name: str) -> None:
    torch.manual_seed(0)
    theirs = with_random_norms(others.create_model(name, num_classes=7))
    own = build_network(read_yaml(Architecture, name), num_classes=7, batch_norm_epsilon=EPSILON)
    assert_equal(with_tensors_of(own, theirs), theirs, torch.randn(2, 3, 65, 64))


@pytest.mark.parametrize("kernels", [(0, 3), (3, 0), (5, 3), (3, 7), (0, 0)])
@pytest.mark.parametrize(("stride", "outputs"), [(1, 16), (2, 16), (1, 24)])
def test_uibs_give_timms_outputs(
    others: SimpleNamespace, kernels: tuple[int, int], stride: int, outputs: int
) -> None:
    from timm.models._efficientnet_blocks import UniversalInvertedResidual

    start, kernel = kernels
    if stride == 2 and not start and not kernel:
        return  # nothing could have the stride
    torch.manual_seed(0)
    theirs = UniversalInvertedResidual(
        16, outputs, start, kernel, stride=stride, exp_ratio=4, layer_scale_init_value=None
    )
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.weight, module.bias, module.running_mean, module.running_var):
                nn.init.uniform_(values, 0.5, 1.5)
    stage = Stage(
        op="uib", kernel_size=kernel, start_kernel_size=start, stride=stride, expansion_ratio=4,
        channels=outputs, layers=1, activation="relu",
    )  # fmt: skip
    block = stage.block(16)
    own = BLOCKS[block.op](block, padding="symmetric", momentum=0.1, epsilon=EPSILON, droppable=False)
    assert_equal(with_tensors_of(own, theirs), theirs, torch.randn(2, 16, 13, 12))


@pytest.mark.parametrize(("stride", "outputs"), [(1, 16), (2, 24), (1, 24), (2, 16)])
def test_convnext_stages_give_timms_outputs(others: SimpleNamespace, stride: int, outputs: int) -> None:
    from timm.layers import LayerNorm2d
    from timm.models.convnext import ConvNeXtStage

    torch.manual_seed(0)
    theirs = ConvNeXtStage(
        16, outputs, kernel_size=7, stride=stride, depth=2, ls_init_value=0.5, conv_mlp=True,
        norm_layer=lambda *a, **k: LayerNorm2d(*a, eps=1e-6, **k),
    )  # fmt: skip
    for parameter in theirs.parameters():
        nn.init.normal_(parameter, std=0.2)
    stage = Stage(op="convnext", kernel_size=7, stride=stride, expansion_ratio=4, channels=outputs, layers=2)
    own = nn.Sequential(
        *(
            BLOCKS[block.op](block, padding="symmetric", momentum=0.1, epsilon=EPSILON, droppable=False)
            for block in stage.blocks(16)
        )
    )
    assert_equal(by_name(own, theirs), theirs, torch.randn(2, 16, 14, 12))


def by_name(own: nn.Module, theirs: nn.Module) -> nn.Module:
    """The blocks with timm's tensors, whose layer scale comes first there."""
    words = {
        "gamma": "layer_scale", "conv_dw": "depthwise", "norm": "norm",
        "mlp.fc1": "expand", "mlp.fc2": "project",
    }  # fmt: skip
    found = {}
    for name, tensor in theirs.state_dict().items():
        if name.startswith("downsample."):
            found[f"0.{name}"] = tensor
            continue
        _, index, rest = name.split(".", 2)
        part = next(word for word in words if rest.startswith(word))
        found[f"{index}.{words[part]}{rest.removeprefix(part)}"] = tensor
    own.load_state_dict(found)
    return own.eval()

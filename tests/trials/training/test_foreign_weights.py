"""Published weights: state dicts of timm's and torchvision's names and shapes, drawn at random, in ours."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from small_networks import EXCHANGEABLE
from torch import Tensor

from nas.interchange.library_check import with_random_norms
from search_spaces.interchange.files import Imported, read_foreign
from search_spaces.interchange.tensor_names import foreign_names
from search_spaces.networks.network import Network, build_network
from search_spaces.settings.config_error import ConfigError
from trials.training.foreign_weights import PIXELS, foreign_network, foreign_state, read_state

LIBRARIES = ("timm", "torchvision")
PUBLISHED = (  # of each kind of block: names and shapes as the libraries' sources have them
    ("timm", "efficientnetv2_s", "conv_stem.weight", (24, 3, 3, 3)),
    ("timm", "efficientnetv2_s", "bn1.running_var", (24,)),
    ("timm", "efficientnetv2_s", "blocks.0.1.conv.weight", (24, 24, 3, 3)),
    ("timm", "efficientnetv2_s", "blocks.1.0.conv_exp.weight", (96, 24, 3, 3)),
    ("timm", "efficientnetv2_s", "blocks.1.0.conv_pwl.weight", (48, 96, 1, 1)),
    ("timm", "efficientnetv2_s", "blocks.3.0.conv_dw.weight", (256, 1, 3, 3)),
    ("timm", "efficientnetv2_s", "blocks.3.0.se.conv_reduce.weight", (16, 256, 1, 1)),
    ("timm", "efficientnetv2_s", "blocks.5.14.bn3.bias", (256,)),
    ("timm", "efficientnetv2_s", "conv_head.weight", (1280, 256, 1, 1)),
    ("timm", "efficientnetv2_s", "classifier.weight", (7, 1280)),
    ("timm", "tf_efficientnet_b0", "blocks.0.0.conv_dw.weight", (32, 1, 3, 3)),
    ("timm", "tf_efficientnet_b0", "blocks.0.0.conv_pw.weight", (16, 32, 1, 1)),
    ("timm", "tf_efficientnet_b0", "blocks.0.0.bn2.weight", (16,)),
    ("torchvision", "efficientnet_v2_s", "features.0.0.weight", (24, 3, 3, 3)),
    ("torchvision", "efficientnet_v2_s", "features.1.1.block.0.0.weight", (24, 24, 3, 3)),
    ("torchvision", "efficientnet_v2_s", "features.2.0.block.1.1.running_mean", (48,)),
    ("torchvision", "efficientnet_v2_s", "features.4.0.block.1.0.weight", (256, 1, 3, 3)),
    ("torchvision", "efficientnet_v2_s", "features.4.0.block.2.fc1.weight", (16, 256, 1, 1)),
    ("torchvision", "efficientnet_v2_s", "features.4.0.block.3.0.weight", (128, 256, 1, 1)),
    ("torchvision", "efficientnet_v2_s", "features.7.0.weight", (1280, 256, 1, 1)),
    ("torchvision", "efficientnet_v2_s", "classifier.1.bias", (7,)),
    ("torchvision", "efficientnet_b0", "features.1.0.block.1.fc2.weight", (32, 8, 1, 1)),
    ("torchvision", "efficientnet_b0", "features.1.0.block.2.0.weight", (16, 32, 1, 1)),
    ("torchvision", "efficientnet_b0", "features.8.1.weight", (1280,)),
)


@pytest.mark.parametrize(("library", "name", "tensor", "shape"), PUBLISHED)
def test_exported_tensors_have_the_libraries_names_and_shapes(
    library: str, name: str, tensor: str, shape: tuple[int, ...]
) -> None:
    assert exported_shapes(library, name)[tensor] == shape


@cache
def exported_shapes(library: str, name: str) -> dict[str, tuple[int, ...]]:
    """Shapes of a published network's exported tensors, by their names."""
    architecture = read_foreign(library, name).architecture
    with torch.device("meta"):
        state = foreign_state(build_network(architecture, num_classes=7), architecture, library)
    return {key: tuple(tensor.shape) for key, tensor in state.items()}


@pytest.mark.parametrize("library", LIBRARIES)
def test_every_tensor_of_a_network_has_one_name_in_a_library(library: str) -> None:
    names = foreign_names(EXCHANGEABLE, library)
    own = {
        name for name in build_network(EXCHANGEABLE, num_classes=7).state_dict() if "num_batches" not in name
    }
    assert names.keys() == own
    assert len(set(names.values())) == len(own)


def drawn(seed: int = 0, epsilon: float = 1e-3) -> Network:
    torch.manual_seed(seed)
    return with_random_norms(build_network(EXCHANGEABLE, num_classes=7, batch_norm_epsilon=epsilon))


@torch.no_grad()
def outputs(network: Network, images: Tensor) -> Tensor:
    result: Tensor = network.eval()(images)
    return result


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("epsilon", [1e-3, 1e-5])
def test_imported_weights_give_the_librarys_outputs(library: str, epsilon: float) -> None:
    there = drawn(epsilon=epsilon)
    state = foreign_state(there, EXCHANGEABLE, library)
    ours = foreign_network(Imported(EXCHANGEABLE, epsilon), library, state, name="w.pth")
    images = torch.randn(2, 3, 33, 33)
    assert outputs(there, images).abs().max() > 0.1
    torch.testing.assert_close(outputs(ours, images), outputs(there, images), rtol=0, atol=1e-5)


@pytest.mark.parametrize("pixels", PIXELS)
def test_stem_of_imported_weights_is_rescaled_to_our_pixels(pixels: str) -> None:
    there = drawn()
    with torch.no_grad():  # without the outer taps no padding is seen
        kept = there.stem[0].weight[:, :, 1, 1].clone()
        there.stem[0].weight.zero_()
        there.stem[0].weight[:, :, 1, 1] = kept
    imported = Imported(EXCHANGEABLE, pixels=pixels)  # type: ignore[arg-type]
    ours = foreign_network(imported, "timm", foreign_state(there, EXCHANGEABLE, "timm"), name="w.pth")
    image = torch.randint(0, 256, (2, 3, 32, 32)).float()
    mean, deviation = (torch.tensor(values).view(1, 3, 1, 1) for values in PIXELS[pixels])
    expected = outputs(there, (image / 255 - mean) / deviation)
    torch.testing.assert_close(outputs(ours, (image - 128) / 128), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_weight_files_are_read_also_wrapped_and_in_half_precision(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"weights{suffix}"
    state = {
        f"module.{name}": tensor.half()
        for name, tensor in foreign_state(drawn(), EXCHANGEABLE, "timm").items()
    }
    if suffix == ".pth":
        torch.save({"epoch": 3, "state_dict": state}, path)
    else:
        save_file(state, path)
    ours = foreign_network(Imported(EXCHANGEABLE), "timm", read_state(path), name=path.name)
    images = torch.randn(1, 3, 32, 32)
    torch.testing.assert_close(outputs(ours, images), outputs(drawn(), images), rtol=0, atol=0.05)


def test_weights_of_another_network_are_refused_by_name_and_shape() -> None:
    state = foreign_state(drawn(), EXCHANGEABLE, "timm")

    def refused(changed: dict[str, Tensor], reason: str, library: str = "timm") -> None:
        with pytest.raises(ConfigError, match=reason):
            foreign_network(Imported(EXCHANGEABLE), library, changed, name="w.pth")

    refused({k: v for k, v in state.items() if "blocks.1" not in k}, r"w.pth: lacks blocks.1.*and \d+ more")
    refused({**state, "blocks.9.0.conv.weight": torch.zeros(1)}, "has, beyond this network, blocks.9")
    refused({**state, "bn1.weight": torch.zeros(3)}, r"bn1.weight has the shape \(3,\); \(16,\) is expected")
    refused({**state, "classifier.bias": torch.zeros(())}, "a classifier of 1 outputs")
    refused({}, "lacks blocks.0.0.bn1.bias")
    refused(state, "lacks classifier.1.bias", "torchvision")
    refused(state, "TensorFlow checkpoints", "automl")
    wider = replace(EXCHANGEABLE, head_channels=72)
    with pytest.raises(ConfigError, match=r"(bn2|conv_head|classifier)\..* has the shape"):
        foreign_network(Imported(wider), "timm", state, name="w.pth")


class Harmful:
    """What a pickle may hold: a call."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (Path("harmed"),))  # type: ignore[return-value]


@pytest.mark.parametrize("kind", ["harmful", "junk", "empty", "number", "list"])
def test_files_that_are_no_weights_are_refused_and_no_code_in_them_runs(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "w.pth"
    if kind in ("junk", "empty"):
        path.write_bytes(b"junk" * 100 if kind == "junk" else b"")
    else:
        torch.save({"harmful": {"a": Harmful()}, "number": 3, "list": [1, 2]}[kind], path)
    with pytest.raises(ConfigError, match=r"no weights that can be read safely|holds no tensors by name"):
        read_state(path)
    assert not (tmp_path / "harmed").exists()
    path.with_suffix(".safetensors").write_bytes(b"\x05junk")
    with pytest.raises(ConfigError, match="no weights"):
        read_state(path.with_suffix(".safetensors"))
    with pytest.raises(ConfigError, match="cannot be read"):
        read_state(tmp_path / "nowhere.pth")

"""Published weights of timm and torchvision, as files, for networks of ours.

Two things are not in such a file and are put into the tensors, so that the network takes the images that all
of ours take: another constant of batch norm goes into the running variances, and the scale and shift of the
pixels into the stem. Where a network is evaluated both are exact, but for the rim of an image: ours pads
with a grey of 128, theirs with the mean of their pixels.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from search_spaces.interchange.files import Imported
from search_spaces.interchange.tensor_names import LIBRARIES, foreign_names
from search_spaces.networks.architecture import Architecture
from search_spaces.networks.network import BATCH_NORM_EPSILON, Network, build_network
from search_spaces.settings.yaml_files import ConfigError

SHOWN = 3  # names in a message
WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model")  # the better weights first
PIXELS = {  # mean and deviation of pixels of 0-1, by channel
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file, or of a file of torch.save, by their names.

    Raises:
        ConfigError: it cannot be read, or holds something else.
    """
    try:
        if path.suffix == ".safetensors":
            content: Any = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or 'no such file'}") from None
    except Exception as error:  # SafetensorError, UnpicklingError, and whatever odd bytes lead to
        raise _no_weights(path, error) from None
    for wrapper in WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict) or not any(isinstance(value, Tensor) for value in content.values()):
        raise ConfigError(f"{path}: holds no tensors by name; a state dict is expected")
    return {
        str(name).removeprefix("module."): value
        for name, value in content.items()
        if isinstance(value, Tensor)
    }


def _no_weights(path: Path, error: Exception) -> ConfigError:
    return ConfigError(
        f"{path}: these are no weights that can be read safely ({type(error).__name__}); a .safetensors "
        "file, or a state dict that torch.save wrote, is expected"
    )


def foreign_network(imported: Imported, library: str, state: Mapping[str, Tensor], *, name: str) -> Network:
    """Our network with the tensors of another library's state dict; `name` is the file's, for messages.

    Raises:
        ConfigError: the tensors are not those of this network.
    """
    if library not in LIBRARIES:
        raise ConfigError(
            f"--weights: {library}'s weights are TensorFlow checkpoints; timm's tf_ ones are the same"
        )
    architecture = imported.architecture
    names = foreign_names(architecture, library)
    _refuse_other_names(state, set(names.values()), name=name)
    classes = state[names["classifier.bias"]].numel()
    if classes < 2:
        raise ConfigError(f"{name}: a classifier of {classes} outputs; at least 2 are expected")
    tensors = {ours: state[theirs].float() for ours, theirs in names.items()}
    with torch.device("meta"):
        network = build_network(architecture, num_classes=classes)
    _refuse_other_shapes(network, names, tensors, name=name)
    _take_epsilon(tensors, imported.epsilon)
    if imported.pixels != "ours":
        _take_pixels(tensors, *PIXELS[imported.pixels])
    network = build_network(architecture, num_classes=classes)
    network.load_state_dict(tensors, strict=False)  # counters of batches are not in the file
    return network.eval()


def foreign_state(network: Network, architecture: Architecture, library: str) -> dict[str, Tensor]:
    """Our tensors under another library's names."""
    own = network.state_dict()
    return {theirs: own[ours] for ours, theirs in foreign_names(architecture, library).items()}


def _refuse_other_names(state: Mapping[str, Tensor], expected: set[str], *, name: str) -> None:
    found = {key for key in state if not key.endswith("num_batches_tracked")}
    for what, keys in (("lacks", expected - found), ("has, beyond this network,", found - expected)):
        if keys:
            listed = ", ".join(sorted(keys)[:SHOWN])
            more = f" and {len(keys) - SHOWN:,} more" if len(keys) > SHOWN else ""
            raise ConfigError(f"{name}: {what} {listed}{more}; are these weights of another network?")


def _refuse_other_shapes(
    network: Network, names: Mapping[str, str], tensors: Mapping[str, Tensor], *, name: str
) -> None:
    own: dict[str, Any] = network.state_dict()
    for ours, tensor in tensors.items():
        if tensor.shape != own[ours].shape:
            raise ConfigError(
                f"{name}: {names[ours]} has the shape {tuple(tensor.shape)}; {tuple(own[ours].shape)} is "
                "expected of this network"
            )


def _take_epsilon(tensors: dict[str, Tensor], epsilon: float) -> None:
    """Variances that with our constant give what theirs give with theirs."""
    if epsilon != BATCH_NORM_EPSILON:
        for key in [key for key in tensors if key.endswith("running_var")]:
            tensors[key] = tensors[key] + (epsilon - BATCH_NORM_EPSILON)


def _take_pixels(tensors: dict[str, Tensor], mean: tuple[float, ...], deviation: tuple[float, ...]) -> None:
    """A stem for images of (x - 128) / 128 in the place of one for (x / 255 - mean) / deviation."""
    means = torch.tensor(mean, dtype=torch.float64).view(1, 3, 1, 1)
    deviations = torch.tensor(deviation, dtype=torch.float64).view(1, 3, 1, 1)
    weight = tensors["stem.0.weight"].double()  # (C, 3, 3, 3)
    shift = (weight * (128 / 255 - means) / deviations).sum((1, 2, 3))  # (C,)
    tensors["stem.0.weight"] = (weight * (128 / 255) / deviations).float()
    tensors["stem.1.running_mean"] = (tensors["stem.1.running_mean"].double() - shift).float()
